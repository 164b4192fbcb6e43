package controller

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// SeenTaint is a taint of a node and since when it is known.
type SeenTaint struct {
	corev1.Taint
	Since time.Time
}

// ImpliedTaint is the taint that Kubernetes puts on a node that is not ready; false for one that is.
func ImpliedTaint(node *corev1.Node) (taint corev1.Taint, implied bool) {
	taint = corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute}
	for i := range node.Status.Conditions {
		c := &node.Status.Conditions[i]
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status == corev1.ConditionUnknown {
			taint.Key = corev1.TaintNodeUnreachable
		}
		return taint, c.Status != corev1.ConditionTrue
	}
	return taint, false // it has not said anything yet
}

// TaintEviction takes a pod off a node that has a NoExecute taint which the pod does not tolerate, or has tolerated for as
// long as it says. From a node that is lost nobody can say that it has stopped the pod: see lost.
func TaintEviction(pod *corev1.Pod, taints []SeenTaint, env Env) Result {
	lost := findLost(taints)
	if pod.DeletionTimestamp != nil {
		return lost.release(pod, env)
	}
	if hasEnded(pod) {
		return Result{}
	}
	r := evict(pod, taints, env)
	if len(r.Changes) > 0 && (runsAtMostOnce(pod) || lost.outOfService) && !lost.since.IsZero() {
		return lost.release(pod, env)
	}
	return r
}

func evict(pod *corev1.Pod, taints []SeenTaint, env Env) Result {
	var r Result
	for i := range taints {
		t := &taints[i]
		if t.Effect != corev1.TaintEffectNoExecute {
			continue
		}
		tolerates, until := tolerated(pod, t)
		if tolerates && (until.IsZero() || env.Now.Before(until)) {
			if !until.IsZero() {
				r.dueAt(until)
			}
			continue
		}
		r = Result{}
		r.disrupt(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", &env)
		r.Events = append(r.Events, Event{
			reference("v1", "Pod", pod), "taint-eviction-controller", corev1.EventTypeNormal, "TaintManagerEviction",
			fmt.Sprintf("Marking for deletion Pod %s/%s", pod.Namespace, pod.Name),
		})
		return r
	}
	return r
}

// tolerated says whether the pod tolerates the taint, by its first toleration that does, and until when; zero for ever.
func tolerated(pod *corev1.Pod, t *SeenTaint) (tolerates bool, until time.Time) {
	for i := range pod.Spec.Tolerations {
		toleration := &pod.Spec.Tolerations[i]
		if !toleration.ToleratesTaint(klog.Logger{}, &t.Taint, false) {
			continue
		}
		if s := toleration.TolerationSeconds; s != nil {
			until = t.Since.Add(time.Duration(max(*s, 0)) * time.Second)
		}
		return true, until
	}
	return false, until
}
