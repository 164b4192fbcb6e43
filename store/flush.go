package store

import (
	"context"
	"log/slog"
	"time"
)

// flusher writes the state file behind the log. Losing what it has not written costs nothing but replaying the log, so it
// waits until much has changed: an object that changes often is then written once, and neighbours share a page. A single change
// would cost the disk some 25 kB, for which a start replays hundreds of entries.
type flusher struct {
	machine *machine
	logger  *slog.Logger
	quiet   time.Duration // without a change, then it writes even if little has changed; 0: it does not
	latest  time.Duration // after the first change
	retry   time.Duration // after an error
}

func (f *flusher) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-f.machine.changed:
		case <-ctx.Done():
			return
		}
		f.settle(ctx)
		if err := f.machine.flush(); err != nil {
			f.logger.Error("cannot write the state file, trying again; nothing is lost, the log has it", "error", err)
			sleep(ctx, f.retry)
			signal(f.machine.changed)
		}
	}
}

// settle waits until the changes are many, or where there is a time for it, until they pause or have gone on for too long.
func (f *flusher) settle(ctx context.Context) {
	var latest, quiet <-chan time.Time
	if f.quiet > 0 {
		latest = time.After(f.latest)
		quiet = time.After(f.quiet)
	}
	for {
		select {
		case <-f.machine.changed:
			if f.quiet > 0 {
				quiet = time.After(f.quiet)
			}
		case <-quiet:
			return
		case <-latest:
			return
		case <-f.machine.full:
			return
		case <-ctx.Done():
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
