package api

import (
	"context"
	"errors"
	"time"

	"covey.dev/covey/store"
)

// Store is the state that is served.
type Store interface {
	Snapshot() *store.Snapshot
	// Linearizable returns a state that includes every write acknowledged before the call. It waits until the leader can be asked,
	// or ctx ends.
	Linearizable(ctx context.Context) (*store.Snapshot, error)
	At(revision uint64) (*store.Snapshot, error)
	Watch(from uint64, resources ...string) (*store.Watcher, error)
	Update(ctx context.Context, fn func(*store.Tx) error) (uint64, error)
}

// ErrAlone is returned by Linearizable where there is nobody to wait for.
var ErrAlone = errors.New("the cluster cannot be asked")

const (
	// staleAfter is how long a read waits for a leader before it is answered with what this node knew last: longer than it takes to
	// elect one, or for one to find a node that has just been started. staleAgain is for how long once that has happened and no
	// leader was found since.
	staleAfter = 8 * time.Second
	staleAgain = 100 * time.Millisecond
)

// current is the state with every acknowledged write. While nobody can be asked what these are, it is the one that this node knew
// last, and the answer warns of that.
func (c *call) current() (*store.Snapshot, error) {
	if c.cfg.Stale == nil {
		return c.cfg.Store.Linearizable(c.ctx())
	}
	wait := staleAfter
	if c.alone.Load() || c.hopelessNow() {
		wait = staleAgain
	}
	ctx, cancel := context.WithTimeout(c.ctx(), wait)
	defer cancel()
	snap, err := c.cfg.Store.Linearizable(ctx)
	if err == nil {
		c.alone.Store(false)
		return snap, nil
	}
	warning := c.cfg.Stale()
	gone := c.ctx().Err() != nil && !c.hopelessNow()
	if gone || ctx.Err() == nil && !errors.Is(err, ErrAlone) || warning == "" {
		return nil, err
	}
	c.alone.Store(true)
	c.warn(warning)
	return c.cfg.Store.Snapshot(), nil
}

// hopelessNow says that there can be no leader.
func (c *call) hopelessNow() bool { return c.cfg.Hope != nil && c.cfg.Hope().Err() != nil }
