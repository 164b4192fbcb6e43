package controller

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Preempt takes a pod off its node for one that is more important.
func Preempt(victim *corev1.Pod, by types.UID, env Env) Result {
	var r Result
	r.disrupt(victim, corev1.PodReasonPreemptionByScheduler, "default-scheduler: preempting to accommodate a higher priority pod", &env)
	r.Events = append(r.Events, Event{
		reference("v1", "Pod", victim), "default-scheduler", corev1.EventTypeNormal, "Preempted",
		fmt.Sprintf("Preempted by pod %v on node %v", by, victim.Spec.NodeName),
	})
	return r
}

// disrupt deletes a pod with its grace and says in a condition that it was not the pod's own doing.
func (r *Result) disrupt(pod *corev1.Pod, reason, message string, env *Env) {
	if pod.DeletionTimestamp != nil {
		return
	}
	pod = pod.DeepCopy()
	c := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason, Message: message,
		ObservedGeneration: pod.Generation, LastTransitionTime: env.stamp(),
	}
	if i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget }); i >= 0 {
		if pod.Status.Conditions[i].Status == c.Status {
			c.LastTransitionTime = pod.Status.Conditions[i].LastTransitionTime
		}
		pod.Status.Conditions[i] = c
	} else {
		pod.Status.Conditions = append(pod.Status.Conditions, c)
	}
	r.remove(Pods, pod, env)
}
