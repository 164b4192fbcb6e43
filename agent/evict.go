package agent

import (
	"cmp"
	"context"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/eviction"
	"covey.dev/covey/agent/volume"
)

// evicted is why a pod has to leave the node.
type evicted struct {
	reason   string // empty: Evicted
	message  string
	grace    time.Duration
	pressure bool // others are spared for it; it did not break a limit of its own
}

// says is the reason in a word.
func (e *evicted) says() string { return cmp.Or(e.reason, eviction.Reason) }

// atOnce is the grace of a pod that is evicted without delay.
const atOnce = time.Second

// evict ends the pod: it fails, and what it kept on the node goes.
func (w *worker) evict(e *evicted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.evicted != nil || w.gone || final(w.pod.Status.Phase) {
		return
	}
	w.evicted = e
	w.event(corev1.EventTypeWarning, e.says(), e.message, "")
	w.nudge()
}

// isLeaving says whether the pod was evicted.
func (w *worker) isLeaving() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.evicted != nil
}

// hasLeft says whether what an evicted pod used is free again.
func (w *worker) hasLeft(ctx context.Context) bool {
	w.mu.Lock()
	free := w.hasReleased || w.gone
	w.mu.Unlock()
	return free && !w.hasProcesses(ctx)
}

// release gives back what a pod that has ended no longer needs: its address and ports, and its volumes, which may be why it
// was evicted.
func (w *worker) release(ctx context.Context) {
	if err := w.disconnect(); err != nil {
		w.Logger.Warn("the address of a pod that has ended could not be given back, trying again", "pod", w.ref, "error", err)
		w.pause(ctx, w.Now().Add(time.Second))
		return
	}
	for _, dir := range []string{"subpaths", "volumes"} {
		if err := volume.Teardown(filepath.Join(w.podDir(w.ref.UID), dir)); err != nil {
			w.Logger.Warn("the volumes of a pod that has ended could not be removed, trying again", "pod", w.ref, "error", err)
			w.pause(ctx, w.Now().Add(time.Second))
			return
		}
	}
	w.released = true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hasReleased = true
}
