package scheduler

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
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
	if was[unreachable].IsZero() && s.isLost(name) {
		for key := range s.index.onNode[name] {
			s.doubtReady(key, false)
		}
	}
	// Whether anyone is ready to take over matters to the nodes that are not.
	for other := range s.taints {
		s.markTainted(other)
	}
	s.markTainted(name)
}

// unreachable is the taint of a node that is lost.
var unreachable = corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}

func (s *Scheduler) isLost(node string) bool { return !s.taints[node][unreachable].IsZero() }

// againReady is how long after an agent has said that a pod is ready, though its node is lost, that is believed: the leader has
// noticed by then that the node is back. It is more than a node takes to be judged, and keeps the two from writing in turn all the time.
const againReady = 10 * time.Second

// doubtReady sees to it that a pod on a lost node does not stay ready: at once, or later when its agent said so just now.
func (s *Scheduler) doubtReady(key store.Key, later bool) {
	w := work{unready, key}
	if !later {
		s.queue.add(w.kind, w.key)
	} else if _, set := s.due[w]; !set {
		s.due[w] = s.clock.Now().Add(againReady)
	}
}

func (r *round) unready(w work) {
	if pod, ok := get[*corev1.Pod](r.view, w.key); ok && r.isLost(pod.Spec.NodeName) {
		r.take(w, controller.Unready(pod, r.env))
	}
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
