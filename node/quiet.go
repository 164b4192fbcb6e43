package node

import (
	"context"
	"errors"
	"time"

	"covey.dev/covey/agent/memory"
	"covey.dev/covey/store"
)

// quietTime is how long nothing must change before a node gives back the memory that the changes needed.
const quietTime = 10 * time.Second

// state is what a node knows of the cluster.
type state interface {
	Snapshot() *store.Snapshot
	Watch(from uint64, resources ...string) (*store.Watcher, error)
}

// releaseWhenQuiet gives memory back after the start, and after each time that something happened. While nothing changes it
// sleeps.
func (n *base) releaseWhenQuiet(ctx context.Context, state state) error {
	memory.KeepRoom()
	for {
		revision, quiet := awaitQuiet(ctx, state)
		if !quiet {
			return nil
		}
		if err := memory.Release(); err != nil {
			n.log.Debug("memory was not given back", "error", err)
		}
		if !awaitChange(ctx, state, revision) {
			return nil
		}
	}
}

// awaitQuiet returns the revision at which nothing had changed for a while; false when ctx ended before.
func awaitQuiet(ctx context.Context, state state) (revision uint64, quiet bool) {
	for {
		revision = state.Snapshot().Revision()
		if !sleep(ctx, quietTime) {
			return 0, false
		}
		if state.Snapshot().Revision() == revision {
			return revision, true
		}
	}
}

// awaitChange reports whether something changed after revision, before ctx ended.
func awaitChange(ctx context.Context, state state, revision uint64) bool {
	watch, err := state.Watch(revision)
	if err == nil {
		_, err = watch.Next(ctx)
	}
	return err == nil || errors.Is(err, store.ErrExpired)
}
