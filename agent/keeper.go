package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/eviction"
)

// keeper keeps the node from running full: it holds pods to their limits on local disk, which no kernel enforces, and when
// memory, disk or process IDs run out it makes room.
type keeper struct {
	*Agent
	wake    chan struct{} // holds one: there are other pods, which may have limits
	alarm   chan struct{} // holds one: look at once
	monitor *eviction.Monitor
	images  imageUse

	lookDue    time.Time // when to look at what the node has left
	leaving    *worker   // the pod that was evicted last, until it has left
	leavingFor time.Time // until when it is waited for
	killDue    time.Time // when its processes are killed past the runtime

	mu         sync.Mutex
	conditions []corev1.NodeConditionType // that hold
}

const (
	// lookEvery is how often the node is looked at when it is short of something, and its pods with limits on local disk.
	lookEvery = 10 * time.Second
	// lookMost is how long a node that has plenty of everything goes unobserved.
	lookMost = time.Minute
	// measureShare bounds the time that measuring takes: one part in so many.
	measureShare = 50
	// leaveMost is how long an evicted pod is waited for before the next one is chosen.
	leaveMost = 30 * time.Second
)

func newKeeper(a *Agent, thresholds []eviction.Threshold) *keeper {
	return &keeper{
		Agent: a, wake: make(chan struct{}, 1), alarm: make(chan struct{}, 1),
		monitor: eviction.NewMonitor(thresholds, a.EvictionTransition), images: imageUse{last: map[string]time.Time{}},
	}
}

// nudge says that there are other pods.
func (k *keeper) nudge() { offer(k.wake) }

func offer(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run works until ctx ends. It sleeps as long as what the node has left allows.
func (k *keeper) run(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { watchStalls(ctx, func() { offer(k.alarm) }, k.Logger) })
	beside.Go(func() { k.holdToLimits(ctx) })
	for ctx.Err() == nil {
		if !k.Now().Before(k.lookDue) {
			k.lookDue = k.Now().Add(k.look(ctx))
		}
		k.sleep(ctx)
	}
	return nil
}

func (k *keeper) sleep(ctx context.Context) {
	timer := time.NewTimer(k.lookDue.Sub(k.Now()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-k.alarm:
		k.lookDue = k.Now()
	}
}

// holdToLimits measures the pods with limits on local disk until ctx ends. That may take minutes, in which nothing else waits for it.
func (k *keeper) holdToLimits(ctx context.Context) {
	for ctx.Err() == nil {
		var changed <-chan struct{}
		var due <-chan time.Time
		if next := k.measureLimited(ctx); next.IsZero() {
			changed = k.wake
		} else {
			due = time.After(next.Sub(k.Now()))
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-due:
		}
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
	return now.Add(max(k.LookEvery, measureShare*now.Sub(begun)))
}

// look observes what the node has left, makes room where there is too little, and returns when to look again.
func (k *keeper) look(ctx context.Context) time.Duration {
	k.images.note(ctx, k.runtime, k.Now())
	k.collectImages(ctx)
	left, err := k.Observe()
	if err != nil {
		k.Logger.Warn("what the node has left is not known", "error", err)
		return k.LookEvery
	}
	verdict := k.monitor.Observe(left, k.Now())
	k.Logger.Debug("looked at what the node has left", "left", left, "short", verdict.Starved, "conditions", verdict.Conditions)
	told := k.setConditions(ctx, verdict.Conditions)
	switch {
	case len(verdict.Starved) > 0:
		return k.relieve(ctx, verdict.Starved[0], left)
	case verdict.Met, len(verdict.Conditions) > 0, !told:
		return k.monitor.NextLook(k.LookEvery, k.LookEvery)
	}
	return k.monitor.NextLook(k.LookEvery, k.LookMost)
}

// setConditions tells the cluster of node conditions that changed.
func (k *keeper) setConditions(ctx context.Context, conditions []corev1.NodeConditionType) (told bool) {
	k.mu.Lock()
	before := k.conditions
	k.conditions = conditions
	k.mu.Unlock()
	if slices.Equal(before, conditions) {
		return true
	}
	if err := k.tellNode(ctx); err != nil {
		if ctx.Err() == nil {
			k.Logger.Warn("the node's conditions were not stored, trying again", "conditions", conditions, "error", err)
		}
		k.mu.Lock()
		k.conditions = before
		k.mu.Unlock()
		return false
	}
	for _, c := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		if had, has := slices.Contains(before, c), slices.Contains(conditions, c); had != has {
			told := pressures[c].told(has)
			k.upstream.NodeEvent(k.NodeName, corev1.EventTypeNormal, told.event, "Node "+k.NodeName+" status is now: "+told.event)
		}
	}
	return true
}

// pressure gives the node conditions that hold now.
func (k *keeper) pressure() []corev1.NodeConditionType {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.conditions
}

// active are the workers of pods that have not ended and are as wanted.
func (a *Agent) active(wanted func(*worker) bool) []*worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []*worker
	for _, w := range a.workers {
		if !w.isGone() && !w.isOver() && wanted(w) {
			list = append(list, w)
		}
	}
	return list
}
