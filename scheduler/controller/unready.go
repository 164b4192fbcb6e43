package controller

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Unready says of a pod whose node is lost that it is not ready, as Kubernetes does: nobody knows, and it is not to count for a
// budget or a rollout. Its agent says what is so when it is back.
func Unready(pod *corev1.Pod, env Env) Result {
	var r Result
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
	if i < 0 {
		return r
	}
	pod = pod.DeepCopy()
	pod.Status.Conditions[i] = corev1.PodCondition{
		Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "NodeNotReady", Message: "neither the other nodes nor the leader hear from its node",
		ObservedGeneration: pod.Status.Conditions[i].ObservedGeneration, LastTransitionTime: env.stamp(),
	}
	r.change(Update, Pods, pod)
	return r
}
