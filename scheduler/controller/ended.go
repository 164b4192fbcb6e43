package controller

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// EndedPod is a pod that has ended, and since when it was there.
type EndedPod struct {
	Ref
	Created time.Time
}

// Discard deletes a pod that has ended.
func Discard(pod *corev1.Pod, env Env) Result {
	var r Result
	r.remove(Pods, pod, &env)
	return r
}

// TooManyEnded are the oldest of the pods that have ended beyond the limit: they are to be deleted.
func TooManyEnded(pods []EndedPod, limit int) []EndedPod {
	if len(pods) <= limit {
		return nil
	}
	slices.SortFunc(pods, func(a, b EndedPod) int {
		if n := a.Created.Compare(b.Created); n != 0 {
			return n
		}
		if n := compareText(a.Namespace, b.Namespace); n != 0 {
			return n
		}
		return compareText(a.Name, b.Name)
	})
	return pods[:len(pods)-limit]
}
