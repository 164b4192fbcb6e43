package agent

import (
	"context"
	"errors"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// configChanged has the worker bring the volumes up to date, and try again what failed for want of a ConfigMap or Secret.
func (w *worker) configChanged(namespace, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name == "" || namespace == w.ref.Namespace && uses(w.pod, name) {
		w.changed = true
		w.nudge()
	}
}

// sameMetadata says that what files of a downwardAPI volume may show has not changed.
func sameMetadata(a, b *corev1.Pod) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

// retryConfig lets what failed for want of a ConfigMap or Secret be tried again at once.
func (w *worker) retryConfig() {
	if w.problem != nil && w.problem.reason == failedMount {
		w.problem.retry = time.Time{}
	}
	for _, p := range w.problems {
		if p.reason == configError {
			p.retry = time.Time{}
		}
	}
}

// refresh brings the volumes made from the API up to date. When that fails they keep what they have.
func (w *worker) refresh(ctx context.Context, pod *corev1.Pod) {
	w.stale = false
	err := w.podVolumes(pod).Refresh(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	if !errors.Is(err, ErrNotFound) {
		w.Logger.Warn("a pod's volumes could not be brought up to date", "pod", w.ref, "error", err)
	}
	w.event(corev1.EventTypeWarning, failedMount, err.Error(), "")
}

// uses says whether a pod refers to a ConfigMap or Secret of this name.
func uses(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.Volumes {
		if volumeUses(&pod.Spec.Volumes[i], name) {
			return true
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers, ephemeral(pod)} {
		for i := range list {
			if containerUses(&list[i], name) {
				return true
			}
		}
	}
	return false
}

func volumeUses(v *corev1.Volume, name string) bool {
	switch {
	case v.ConfigMap != nil:
		return v.ConfigMap.Name == name
	case v.Secret != nil:
		return v.Secret.SecretName == name
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil && s.ConfigMap.Name == name || s.Secret != nil && s.Secret.Name == name {
				return true
			}
		}
	}
	return false
}

func containerUses(c *corev1.Container, name string) bool {
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil && from.ConfigMapRef.Name == name || from.SecretRef != nil && from.SecretRef.Name == name {
			return true
		}
	}
	for _, env := range c.Env {
		from := env.ValueFrom
		if from == nil {
			continue
		}
		if from.ConfigMapKeyRef != nil && from.ConfigMapKeyRef.Name == name || from.SecretKeyRef != nil && from.SecretKeyRef.Name == name {
			return true
		}
	}
	return false
}
