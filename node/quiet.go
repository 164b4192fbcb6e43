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

// releaseWhenQuiet gives memory back after the start, and after each time that something happened. While nothing changes it
// sleeps.
func (n *node) releaseWhenQuiet(ctx context.Context) error {
	for {
		revision, quiet := n.awaitQuiet(ctx)
		if !quiet {
			return nil
		}
		if err := memory.Release(); err != nil {
			n.log.Debug("memory was not given back", "error", err)
		}
		if !n.awaitChange(ctx, revision) {
			return nil
		}
	}
}

// awaitQuiet returns the revision at which nothing had changed for a while; false when ctx ended before.
func (n *node) awaitQuiet(ctx context.Context) (revision uint64, quiet bool) {
	for {
		revision = n.store.Snapshot().Revision()
		if !sleep(ctx, quietTime) {
			return 0, false
		}
		if n.store.Snapshot().Revision() == revision {
			return revision, true
		}
	}
}

// awaitChange reports whether something changed after revision, before ctx ended.
func (n *node) awaitChange(ctx context.Context, revision uint64) bool {
	watch, err := n.store.Watch(revision)
	if err == nil {
		_, err = watch.Next(ctx)
	}
	return err == nil || errors.Is(err, store.ErrExpired)
}
