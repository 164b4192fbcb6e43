package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"covey.dev/covey/store"
)

// termPause is between a term that could not act as the leader and the next one.
const termPause = 100 * time.Millisecond

// lead calls term whenever this node leads, with a context that ends with the leadership. A term that ends because it could not act as
// the leader is followed by another one as long as there is no news that this node leads no longer: none comes when handing
// over has failed. It returns when ctx has ended and the last term with it, or with the term's error.
func lead(ctx context.Context, leading <-chan bool, term func(context.Context) error) error {
	leads, open := news(ctx, leading)
	for open {
		if !leads {
			leads, open = news(ctx, leading)
			continue
		}
		termCtx, end := context.WithCancel(ctx)
		told := false
		var watcher sync.WaitGroup
		watcher.Go(func() {
			// Also that it leads is the end of this term: it did not in between.
			if is, ok := news(termCtx, leading); ok {
				leads, told = is, true
			}
			end()
		})
		err := term(termCtx)
		end()
		watcher.Wait()
		switch {
		case err != nil && !errors.Is(err, store.ErrNotLeader):
			return err
		case told:
		case err == nil, ctx.Err() != nil:
			leads = false
		default:
			sleep(ctx, termPause)
		}
	}
	return nil
}

// news is the next one that comes before ctx ends; ok is false when none does.
func news(ctx context.Context, leading <-chan bool) (leads, ok bool) {
	select {
	case <-ctx.Done():
		return false, false
	case leads, ok = <-leading:
		return leads, ok
	}
}
