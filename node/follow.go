package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"covey.dev/covey/store"
)

// follow calls look with what is known, at first and after each change in these tables, until ctx ends or look fails. look returns after what
// time it is to be called even if nothing changes; 0 is never.
func follow(ctx context.Context, state state, look func(*store.Snapshot) (time.Duration, error), tables ...string) error {
	for {
		snap := state.Snapshot()
		watch, err := state.Watch(snap.Revision(), tables...)
		for err == nil {
			wait, failed := look(snap)
			if failed != nil {
				return failed
			}
			err = next(ctx, watch, wait)
			snap = state.Snapshot()
		}
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, store.ErrExpired) {
			return fmt.Errorf("follow %s: %w", strings.Join(tables, ", "), err)
		}
	}
}

// next returns nil after a change, or after wait unless that is 0.
func next(ctx context.Context, watch *store.Watcher, wait time.Duration) error {
	if wait == 0 {
		_, err := watch.Next(ctx)
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, err := watch.Next(waiting)
	if waiting.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}
