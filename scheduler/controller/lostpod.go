package controller

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// NodeQuarantine is how long a node may be missing before its pods are given up: a machine that registers itself anew
// keeps them.
const NodeQuarantine = 40 * time.Second

// LostPod removes a pod that no agent will: one that is being deleted and is on no node, or one whose node has been
// missing since missingSince (zero: its node is there) for longer than NodeQuarantine. What finalizers hold waits for them, as one
// that is deleted, so that it is replaced.
func LostPod(pod *corev1.Pod, missingSince time.Time, env Env) Result {
	var r Result
	switch {
	case pod.Spec.NodeName == "":
		if pod.DeletionTimestamp != nil && len(pod.Finalizers) == 0 {
			r.change(Delete, Pods, pod)
		}
	case missingSince.IsZero():
	case env.Now.Before(missingSince.Add(NodeQuarantine)):
		r.dueAt(missingSince.Add(NodeQuarantine))
	default:
		r.abandon(pod, &env)
	}
	return r
}
