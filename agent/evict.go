package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
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
	free := w.isEmpty || w.gone
	w.mu.Unlock()
	return free && !w.hasProcesses(ctx)
}

// isOver says whether the pod has ended and never runs again: that is stored, or it was evicted and its volumes are removed.
func (w *worker) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isEmpty || final(w.pod.Status.Phase)
}

// release gives back what a pod that has ended no longer needs: its address and ports, and its volumes.
func (w *worker) release(ctx context.Context) {
	if err := w.disconnect(); err != nil {
		w.Logger.Warn("the address of a pod that has ended could not be given back, trying again", "pod", w.ref, "error", err)
		w.pause(ctx, w.Now().Add(time.Second))
		return
	}
	if err := w.removeVolumes(); err != nil {
		w.Logger.Warn("the volumes of a pod that has ended could not be removed, trying again", "pod", w.ref, "error", err)
		w.pause(ctx, w.Now().Add(time.Second))
		return
	}
	w.released = true
	w.tellEmpty()
}

// empty removes the volumes of a pod that was evicted, which may be why. It does not wait until that is stored: while the cluster does not
// answer, others would be evicted and nothing be free. The address stays: as long as it is not stored, others may take it for the pod's.
func (w *worker) empty(ctx context.Context) {
	noted := w.noteEviction()
	err := w.removeVolumes()
	if err == nil && noted != nil {
		err = w.noteEviction() // there was no room before
	}
	if err != nil {
		w.Logger.Warn("the volumes of a pod that was evicted could not be removed, trying again", "pod", w.ref, "error", err)
		w.pause(ctx, w.Now().Add(time.Second))
		return
	}
	w.emptied = true
	w.tellEmpty()
}

// removeVolumes removes the pod's volumes, and its files in /etc, which its containers may have filled.
func (w *worker) removeVolumes() error {
	for _, dir := range []string{"subpaths", "volumes", "etc"} {
		if err := volume.Teardown(filepath.Join(w.podDir(w.ref.UID), dir)); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) tellEmpty() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isEmpty = true
}

// evictionNote is what is kept of an eviction over a restart: its pod may not go on with its volumes gone.
type evictionNote struct {
	Reason   string `json:"reason,omitempty"`
	Message  string `json:"message"`
	Pressure bool   `json:"pressure,omitempty"`
}

func (w *worker) evictionFile() string { return filepath.Join(w.podDir(w.ref.UID), "evicted") }

func (w *worker) noteEviction() error {
	w.mu.Lock()
	e := w.evicted
	w.mu.Unlock()
	data, err := json.Marshal(evictionNote{Reason: e.reason, Message: e.message, Pressure: e.pressure})
	if err != nil {
		return err
	}
	return writeWhole(w.evictionFile(), data)
}

// recallEviction knows of a pod that an earlier run of covey evicted and whose stored status does not say so yet.
func (w *worker) recallEviction(pod *corev1.Pod) {
	data, err := os.ReadFile(w.evictionFile())
	if errors.Is(err, os.ErrNotExist) || final(pod.Status.Phase) {
		return
	}
	var note evictionNote
	if err == nil {
		err = json.Unmarshal(data, &note)
	}
	if err != nil { // there is a note: the volumes may be gone
		w.Logger.Warn("why a pod was evicted could not be read", "pod", w.ref, "error", err)
	}
	w.evicted = &evicted{reason: note.Reason, message: note.Message, grace: atOnce, pressure: note.Pressure}
}
