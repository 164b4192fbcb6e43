package agent

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// exits tells those who wait for a container that its process has ended.
type exits struct {
	mu      sync.Mutex
	waiting map[string][]chan struct{}
}

func newExits() *exits { return &exits{waiting: map[string][]chan struct{}{}} }

func (e *exits) tell(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ch := range e.waiting[id] {
		close(ch)
	}
	delete(e.waiting, id)
}

// tellMissed tells of those that have ended while nobody listened to the runtime.
func (e *exits) tellMissed(ctx context.Context, rt Runtime) {
	e.mu.Lock()
	ids := slices.Collect(maps.Keys(e.waiting))
	e.mu.Unlock()
	for _, id := range ids {
		if !isRunning(ctx, rt, id) {
			e.tell(id)
		}
	}
}

func (e *exits) register(id string) (ch chan struct{}, cancel func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ch = make(chan struct{})
	e.waiting[id] = append(e.waiting[id], ch)
	return ch, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i, other := range e.waiting[id] {
			if other == ch {
				e.waiting[id] = append(e.waiting[id][:i], e.waiting[id][i+1:]...)
				break
			}
		}
		if len(e.waiting[id]) == 0 {
			delete(e.waiting, id)
		}
	}
}

// await reports whether the container's process ended within wait.
func (e *exits) await(ctx context.Context, rt Runtime, id string, wait time.Duration) bool {
	ended, cancel := e.register(id)
	defer cancel()
	if !isRunning(ctx, rt, id) {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return !isRunning(ctx, rt, id)
}

func isRunning(ctx context.Context, rt Runtime, id string) bool {
	list, err := rt.List(ctx)
	if err != nil {
		return true
	}
	for i := range list {
		if list[i].ID == id {
			return list[i].State == StateRunning
		}
	}
	return false
}
