package node

import (
	"context"
	"sync"
	"time"
)

// hopeInterval is how often a node that lacks a majority looks whether there is a leader.
const hopeInterval = time.Second

// hope is a context that ends while there can be no leader, so that nobody waits for one in vain.
type hope struct {
	mu  sync.Mutex
	ctx context.Context
	end context.CancelCauseFunc
}

// Context ends, with the cause, when there can be no leader.
func (h *hope) Context() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx == nil {
		h.ctx, h.end = context.WithCancelCause(context.Background())
	}
	return h.ctx
}

// set ends the context for a reason, or begins a new one where there is none.
func (h *hope) set(why error) {
	ctx := h.Context()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case why != nil:
		h.end(why)
	case ctx.Err() != nil:
		h.ctx, h.end = context.WithCancelCause(context.Background())
	}
}

// watchMajority tells requests that wait for a leader when there can be none.
func (n *node) watchMajority(ctx context.Context) error {
	for {
		changed := n.gossip.Changed()
		n.hope.set(n.noMajority())
		var again <-chan time.Time
		if n.quorum().lacks() > 0 {
			again = time.After(hopeInterval)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}
