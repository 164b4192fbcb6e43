package store

import (
	"context"
	"log/slog"
	"time"
)

// flusher writes the state file behind the log. Losing what it has not written costs nothing but replaying the log, so it
// waits for a quiet moment: one bbolt transaction for many changes spares the disk. It has no timer while nothing changes.
type flusher struct {
	machine *machine
	logger  *slog.Logger
	quiet   time.Duration // without a change
	latest  time.Duration // after the first change, however busy the store is
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

// settle waits until the changes pause, or have gone on for too long, or are too many.
func (f *flusher) settle(ctx context.Context) {
	timer := time.NewTimer(f.latest)
	defer timer.Stop()
	quiet := time.NewTimer(f.quiet)
	defer quiet.Stop()
	for {
		select {
		case <-f.machine.changed:
			quiet.Reset(f.quiet)
		case <-quiet.C:
			return
		case <-timer.C:
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
