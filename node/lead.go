package node

import (
	"context"
	"errors"
	"sync"

	"covey.dev/covey/store"
)

// lead calls term whenever this node leads, with a context that ends with the leadership. It returns when ctx has ended
// and the last term with it, or with the term's error.
func lead(ctx context.Context, leading <-chan bool, term func(context.Context) error) error {
	for await(ctx, leading, true) {
		termCtx, end := context.WithCancel(ctx)
		var watcher sync.WaitGroup
		watcher.Go(func() {
			await(termCtx, leading, false)
			end()
		})
		err := term(termCtx)
		end()
		watcher.Wait()
		if err != nil && !errors.Is(err, store.ErrNotLeader) {
			return err
		}
	}
	return nil
}

// await reports whether leading said want before ctx ended.
func await(ctx context.Context, leading <-chan bool, want bool) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case is, open := <-leading:
			if !open {
				return false
			}
			if is == want {
				return true
			}
		}
	}
}
