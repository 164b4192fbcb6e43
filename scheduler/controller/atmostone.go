package controller

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// AtMostOne is the annotation of a pod that is not replaced before it is certain that it runs no more. Package agent has it too.
const AtMostOne = "covey.dev/at-most-one"

// FenceWait is how long after its node was found lost such a pod is given up: the node ends it when it has had no contact for 20 s
// (agent/fence), and may take a moment for it.
const FenceWait = 25 * time.Second

func runsAtMostOnce(pod *corev1.Pod) bool { return pod.Annotations[AtMostOne] == "true" }

// lost is a node that neither the others nor the leader hear from. Its pods may go on there.
type lost struct {
	since        time.Time // zero: it is not lost
	outOfService bool      // somebody says that it is switched off
}

func findLost(taints []SeenTaint) (l lost) {
	for i := range taints {
		switch t := &taints[i]; t.Key {
		case corev1.TaintNodeUnreachable:
			l.since = t.Since
		case corev1.TaintNodeOutOfService:
			l.outOfService = true
		}
	}
	return l
}

// release removes the object of a pod which has to leave a lost node as soon as it is certain that it does not run there. That of
// another one stays as it is, being deleted, until the node is back or is removed.
func (l lost) release(pod *corev1.Pod, env Env) Result {
	var r Result
	until := l.since.Add(FenceWait)
	switch {
	case l.since.IsZero():
	case l.outOfService:
		r.giveUp(pod, "its node is out of service", &env)
	case !runsAtMostOnce(pod):
	case env.Now.Before(until):
		r.dueAt(until)
	default:
		r.giveUp(pod, fmt.Sprintf("its node has been lost for %v, and has ended it", FenceWait), &env)
	}
	return r
}

// giveUp removes a pod without its agent, and tells why.
func (r *Result) giveUp(pod *corev1.Pod, why string, env *Env) {
	if !r.abandon(pod, env) {
		return
	}
	r.Events = append(r.Events, Event{
		reference("v1", "Pod", pod), "taint-eviction-controller", corev1.EventTypeNormal, "TaintManagerEviction",
		fmt.Sprintf("Deleting pod %s/%s: %s", pod.Namespace, pod.Name, why),
	})
}

// abandon removes a pod without its agent. One with finalizers waits for them alone; false when it does already.
func (r *Result) abandon(pod *corev1.Pod, env *Env) bool {
	switch {
	case len(pod.Finalizers) == 0:
		r.change(Delete, Pods, pod)
	case pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0:
		return false
	default:
		r.change(Update, Pods, marked(pod, 0, env))
	}
	return true
}
