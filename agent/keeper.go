package agent

import (
	"context"
	"time"

	"covey.dev/covey/agent/eviction"
)

// keeper keeps pods to their limits on local disk, which no kernel enforces.
type keeper struct {
	*Agent
	wake chan struct{} // holds one: there are other pods
}

// How often the pods with limits on local disk are measured. Measuring takes at most this share of the time.
const (
	measureEvery = 10 * time.Second
	measureShare = 50 // one part in so many
)

func newKeeper(a *Agent) *keeper { return &keeper{Agent: a, wake: make(chan struct{}, 1)} }

func (k *keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends. It sleeps while there is nothing to measure.
func (k *keeper) run(ctx context.Context) error {
	var due time.Time
	for ctx.Err() == nil {
		if !k.Now().Before(due) {
			due = k.measureLimited(ctx)
		}
		k.sleep(ctx, due)
	}
	return nil
}

// sleep waits until there are other pods, or until due unless it is zero.
func (k *keeper) sleep(ctx context.Context, due time.Time) {
	var timer <-chan time.Time
	if !due.IsZero() {
		t := time.NewTimer(due.Sub(k.Now()))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-k.wake:
	case <-timer:
	}
}

// measureLimited evicts pods that exceed a limit on local disk. It returns when to measure again, zero if no pod has one.
func (k *keeper) measureLimited(ctx context.Context) time.Time {
	begun := k.Now()
	limited := k.active(func(w *worker) bool { return eviction.Limited(w.currentPod()) })
	if len(limited) == 0 {
		return time.Time{}
	}
	for _, w := range limited {
		use, err := w.diskUsage(ctx)
		if err != nil {
			if ctx.Err() == nil {
				k.Logger.Warn("a pod's use of local disk could not be measured", "pod", w.ref, "error", err)
			}
			continue
		}
		if message := eviction.OverLimit(w.currentPod(), use); message != "" {
			w.evict(&evicted{message: message, grace: atOnce})
		}
	}
	now := k.Now()
	return now.Add(max(k.MeasureEvery, measureShare*now.Sub(begun)))
}

// active are the workers of pods that have not ended and are as wanted.
func (a *Agent) active(wanted func(*worker) bool) []*worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []*worker
	for _, w := range a.workers {
		if !w.isGone() && !final(w.currentPod().Status.Phase) && wanted(w) {
			list = append(list, w)
		}
	}
	return list
}
