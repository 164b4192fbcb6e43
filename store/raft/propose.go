package raft

import (
	"context"
	"errors"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// Leading receives true when this server has become the leader and has applied all that was committed before, and false
// when it leads no longer. Only the newest news is kept: a true after a true means that leadership was lost in between.
func (n *Node) Leading() <-chan bool { return n.leading }

// Leads says whether this server leads and has applied all that was committed before it did.
func (n *Node) Leads() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leads()
}

// leads also asks Raft, whose news may still be on its way. The caller holds mu.
func (n *Node) leads() bool {
	return n.term != 0 && n.raft.State() == hraft.Leader && n.raft.CurrentTerm() == n.term
}

// WaitLeads returns once this server leads. It returns ErrNotLeader as soon as another server is known to lead, and
// ctx's error when nobody came to lead before ctx ended.
func (n *Node) WaitLeads(ctx context.Context) error {
	for {
		n.mu.Lock()
		leads, closing, changed := n.leads(), n.closing, n.changed
		n.mu.Unlock()
		if closing {
			return ErrClosed
		}
		if leads {
			return nil
		}
		if _, leader := n.raft.LeaderWithID(); leader != "" && string(leader) != n.id {
			return ErrNotLeader
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if failure := n.log.failure.Load(); failure != nil {
				return fmt.Errorf("wait for a leader: %w; the last write of the Raft log failed: %w", context.Cause(ctx), *failure)
			}
			return fmt.Errorf("wait for a leader: %w", context.Cause(ctx))
		}
	}
}

// WaitLeader returns the ID of the server that leads once there is one; "" when it is this one, which has then applied all
// that was committed before.
func (n *Node) WaitLeader(ctx context.Context) (string, error) {
	err := n.WaitLeads(ctx)
	if !errors.Is(err, ErrNotLeader) {
		return "", err
	}
	_, leader := n.raft.LeaderWithID()
	if leader == "" || string(leader) == n.id {
		return n.WaitLeader(ctx) // it has moved on
	}
	return string(leader), nil
}

// VerifyLeads waits like WaitLeads, then makes sure that no other server has come to lead in the meantime. What this
// server has applied then includes every entry whose proposal was answered before the call. It writes nothing.
func (n *Node) VerifyLeads(ctx context.Context) error {
	if err := n.WaitLeads(ctx); err != nil {
		return err
	}
	if n.onlyVoter() && n.raft.State() == hraft.Leader {
		return nil // nobody else could be elected
	}
	return n.await(ctx, func() error { return n.raft.VerifyLeader().Error() })
}

// Propose replicates data and returns its index and the machine's answer once it is applied here. It waits for leadership
// like WaitLeads. Errors of Raft: ErrNotLeader (not written), ErrUnknown, ctx's error (may or may not be written), and
// others such as a full disk (not written).
func (n *Node) Propose(ctx context.Context, data []byte) (index uint64, err error) {
	for {
		if err := n.WaitLeads(ctx); err != nil {
			return 0, err
		}
		var future hraft.ApplyFuture
		err := n.await(ctx, func() error {
			f := n.raft.Apply(data, enqueueTimeout)
			if err := f.Error(); err != nil {
				return err
			}
			future = f
			return nil
		})
		if errors.Is(err, ErrNotLeader) && ctx.Err() == nil {
			continue // WaitLeads waits, or says who leads
		}
		if err != nil {
			return 0, err
		}
		answer, _ := future.Response().(error)
		return future.Index(), answer
	}
}

// await runs fn, which cannot be cancelled, and returns its error or ctx's, whichever comes first.
func (n *Node) await(ctx context.Context, fn func() error) error {
	n.mu.Lock()
	if n.closing {
		n.mu.Unlock()
		return ErrClosed
	}
	n.inFlight.Add(1)
	n.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		defer n.inFlight.Done()
		done <- fn()
	}()
	select {
	case err := <-done:
		return translate(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, hraft.ErrLeadershipLost):
		return ErrUnknown
	case errors.Is(err, hraft.ErrRaftShutdown):
		return ErrClosed
	case errors.Is(err, hraft.ErrEnqueueTimeout):
		return fmt.Errorf("the Raft log is not taking writes, the disk may be full or hanging: %w", err)
	}
	return fmt.Errorf("write the Raft log: %w", err)
}

// IsCurrent says whether this server has every acknowledged write though it may not lead at the moment: it is the only voter,
// so nobody else can have been elected, and has led since it was started.
func (n *Node) IsCurrent() bool {
	n.mu.Lock()
	caughtUp, closing := n.caughtUp, n.closing
	n.mu.Unlock()
	return caughtUp && !closing && n.onlyVoter()
}
