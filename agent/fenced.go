package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/fence"
)

// AtMostOne is the annotation of a pod that must not run here any more when it may have been replaced elsewhere, at the price that it
// is ended when its node has no contact with the cluster. Package scheduler/controller has it too.
const AtMostOne = "covey.dev/at-most-one"

// Confirmer is an Upstream that can say what the node may run. One that cannot has no pods that may run at most once.
type Confirmer interface {
	// Confirm returns the UIDs of the pods with AtMostOne that are bound to the node, as it is in the cluster at some time after the call, and an
	// error if the cluster does not answer or takes the node for lost.
	Confirm(ctx context.Context, node string) (pods []string, err error)
}

// openGuard guards the pods that may run at most once, where the node can.
func (a *Agent) openGuard() (err error) {
	up, can := a.upstream.(Confirmer)
	if !can || len(a.Watchdog) == 0 {
		return nil
	}
	a.guard, err = fence.New(fence.Config{
		Dir: filepath.Join(a.StateDir, "fence"), Watchdog: a.Watchdog, Log: a.Logger, Changed: a.nudgeAll,
		Confirm: func(ctx context.Context) ([]string, error) { return up.Confirm(ctx, a.NodeName) },
	})
	if err != nil {
		return fmt.Errorf("guard the pods that may run at most once: %w", err)
	}
	return nil
}

// forgetUnknown ends the guard of pods that an earlier run of covey guarded and removed. a.mu is held.
func (a *Agent) forgetUnknown() {
	if a.guard == nil {
		return
	}
	for _, uid := range a.guard.Guarded() {
		if a.workers[uid] == nil {
			a.guard.Forget(uid)
		}
	}
}

func (a *Agent) runGuard(ctx context.Context) error {
	if a.guard == nil {
		return nil
	}
	return a.guard.Run(ctx)
}

// fenced says whether the pod is one that may run at most once, and it is not known that it may run here now. It is guarded before it
// is first started, until nothing is left of it.
func (w *worker) fenced(pod *corev1.Pod) bool {
	if pod.Annotations[AtMostOne] != "true" {
		return false
	}
	if w.guard == nil {
		return true
	}
	if pod.DeletionTimestamp == nil {
		w.guard.Keep(w.ref.UID, w.cgroup(w.ref.UID))
	}
	return !w.guard.May(w.ref.UID)
}

// endFenced ends a container whose pod's time passed while it was being started.
func (w *worker) endFenced(ctx context.Context, id string) {
	if !w.fenced(w.currentPod()) {
		return
	}
	if err := w.runtime.Signal(ctx, id, syscall.SIGKILL); err != nil {
		w.Logger.Warn("a container that may not run here now was not ended; the watchdog does it", "pod", w.ref, "error", err)
	}
}

// fencedWaiting is shown of a container that is not started for that reason.
func (v *view) fencedWaiting() *corev1.ContainerStateWaiting {
	return &corev1.ContainerStateWaiting{Reason: "Fenced", Message: AtMostOne + ": the cluster has not confirmed in time that this node may run the pod"}
}
