package scheduler

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/scheduler/controller"
)

// seen is since when the NoExecute taints of a node are known, those that are implied included, and that it is out of service. It is counted from when
// this scheduler saw them first: after a restart or an outage of its own, nodes get the time to come back.
type seen map[corev1.Taint]time.Time

// noteTaints keeps a node's taints, and marks its pods when they have changed.
func (s *Scheduler) noteTaints(name string, node *corev1.Node) {
	now, was, wasReady := seen{}, s.taints[name], s.ready[name]
	note := func(t corev1.Taint) {
		t.TimeAdded = nil
		if now[t] = s.clock.Now(); !was[t].IsZero() {
			now[t] = was[t]
		}
	}
	delete(s.ready, name)
	if node != nil {
		s.ready[name] = true
		for _, t := range node.Spec.Taints {
			if t.Effect == corev1.TaintEffectNoExecute || t.Key == corev1.TaintNodeOutOfService {
				note(t)
			}
		}
		if t, implied := controller.ImpliedTaint(node); implied {
			note(t)
			delete(s.ready, name)
		}
	}
	delete(s.taints, name)
	if len(now) > 0 {
		s.taints[name] = now
	}
	if same(was, now) && wasReady == s.ready[name] {
		return
	}
	// Whether anyone is ready to take over matters to the nodes that are not.
	for other := range s.taints {
		s.markTainted(other)
	}
	s.markTainted(name)
}

func same(a, b seen) bool {
	for t := range a {
		if b[t].IsZero() {
			return false
		}
	}
	return len(a) == len(b)
}

func (s *Scheduler) markTainted(node string) {
	for key := range s.index.onNode[node] {
		s.queue.add(evictions, key)
	}
}

func (r *round) evict(w work) {
	pod, ok := get[*corev1.Pod](r.view, w.key)
	if !ok || pod.Spec.NodeName == "" {
		return
	}
	var taints []controller.SeenTaint
	for t, since := range r.taints[pod.Spec.NodeName] {
		implied := t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable
		if implied && len(r.ready) == 0 {
			continue // there is no better place: a cluster that is cut off as a whole keeps its pods
		}
		taints = append(taints, controller.SeenTaint{Taint: t, Since: r.since(since)})
	}
	r.take(w, controller.TaintEviction(pod, taints, r.env))
}
