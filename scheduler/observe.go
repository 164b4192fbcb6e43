package scheduler

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

const nodeResource = "nodes"

// observe takes in an object's new state (nil: it is gone), be it from the watch or from a decision of this round, and
// marks what must be looked at again because of it.
func (s *Scheduler) observe(key store.Key, obj store.Object) {
	var is *fact
	if obj != nil {
		is = newFact(key, obj)
	}
	was := s.index.put(key, is)
	if was == nil && is == nil {
		return
	}
	if key.Resource == controller.Pods && (was.unreadable() || is.unreadable()) {
		return
	}
	switch key.Resource {
	case controller.Namespaces:
		s.queue.add(namespaces, key)
	case controller.ServiceAccounts:
		if is == nil && key.Name == "default" {
			s.markNamespace(key.Namespace)
		}
	case controller.Deployments:
		if is != nil {
			s.queue.add(deployments, key)
		}
		s.markBudgets(key.Namespace)
	case controller.Budgets:
		if is != nil {
			s.queue.add(budgets, key)
		}
	case controller.ReplicaSets:
		s.markReplicaSet(key, was, is)
	case controller.Pods:
		s.markPod(key, was, is)
	case nodeResource:
		s.markNode(key.Name, is)
		if is == nil {
			s.noteTaints(key.Name, nil)
		} else {
			s.noteTaints(key.Name, is.node)
		}
	case eventResource:
		s.awaitExpiry(is)
	}
	s.markGarbage(key, was, is)
	if key.Namespace != "" && s.index.isClosed(key.Namespace) {
		s.markNamespace(key.Namespace)
	}
}

func (s *Scheduler) markNamespace(name string) {
	s.queue.add(namespaces, store.Key{Resource: controller.Namespaces, Name: name})
}

func (s *Scheduler) markRequired() {
	for _, name := range controller.RequiredNamespaces {
		s.markNamespace(name)
	}
}

func (s *Scheduler) markReplicaSet(key store.Key, was, is *fact) {
	if is != nil {
		s.queue.add(replicaSets, key)
	}
	s.markBudgets(key.Namespace)
	s.markOwner(was, deployments, controller.Deployments)
	s.markOwner(is, deployments, controller.Deployments)
	if becameLoose(was, is) {
		s.queue.addAll(deployments, key.Namespace, controller.Deployments)
	}
}

func (s *Scheduler) markPod(key store.Key, was, is *fact) {
	for _, f := range []*fact{was, is} {
		s.markOwner(f, replicaSets, controller.ReplicaSets)
		if is == nil || is.pod.ended {
			// A deployment that recreates its pods waits for the end of the old ones.
			if rs, ok := s.index.byUID[f.controller()]; ok {
				s.markOwner(s.index.facts[rs], deployments, controller.Deployments)
			}
		}
	}
	if becameLoose(was, is) {
		s.queue.addAll(replicaSets, key.Namespace, controller.ReplicaSets)
	}
	if countsOtherwise(was, is) {
		s.markBudgets(key.Namespace)
	}
	if was != nil && was.pod.node != "" && was.pod.demand != nil && (is == nil || is.pod.demand == nil) {
		s.markWaiting() // there is room now
	}
	if was != nil && was.pod.nominated != "" && (is == nil || is.pod.nominated != was.pod.nominated) {
		s.markWaiting() // no room is held for it any more
	}
	if is == nil {
		return
	}
	if s.index.related > 0 && matters(was, is) {
		s.markWaiting()
	}
	p := is.pod
	if p.node != "" && len(s.taints[p.node]) > 0 {
		s.queue.add(evictions, key)
	}
	if p.ready && s.isLost(p.node) {
		s.doubtReady(key, was != nil)
	}
	if p.ended && (was == nil || !was.pod.ended) && len(s.index.ended) > s.most {
		s.queue.add(endedPods, everyPod)
	}
	switch {
	case p.waits && (was == nil || !was.pod.waits || was.pod.demand.Shape() != p.demand.Shape()):
		s.queue.add(placements, key)
	case p.node == "" && p.deletes:
		s.queue.add(lostPods, key)
	case p.node != "" && !s.index.nodes[p.node]:
		if _, known := s.index.missing[p.node]; !known {
			s.index.missing[p.node] = s.clock.Now()
		}
		s.queue.add(lostPods, key)
	}
}

// markBudgets marks the disruption budgets of a namespace.
func (s *Scheduler) markBudgets(namespace string) {
	if len(s.index.budgets[namespace]) > 0 {
		s.queue.addAll(budgets, namespace, controller.Budgets)
	}
}

// countsOtherwise says whether a pod's change may concern a disruption budget.
func countsOtherwise(was, is *fact) bool {
	if was == nil || is == nil || (was.pod.demand == nil) != (is.pod.demand == nil) {
		return true
	}
	return was.pod.ready != is.pod.ready || was.controller() != is.controller() ||
		is.pod.demand != nil && was.pod.demand.Kin() != is.pod.demand.Kin()
}

// matters says whether a pod that is there now, or is another now, may let one fit that depends on it.
func matters(was, is *fact) bool {
	if is.pod.node == "" || is.pod.demand == nil {
		return false
	}
	return was == nil || was.pod.demand == nil || was.pod.node != is.pod.node || was.pod.demand.Kin() != is.pod.demand.Kin()
}

func (s *Scheduler) markNode(name string, is *fact) {
	s.markWaiting()
	if is != nil {
		return
	}
	for pod := range s.index.onNode[name] {
		s.index.missing[name] = s.clock.Now()
		s.queue.add(lostPods, pod)
	}
}

// markWaiting has all pods without a node tried again.
func (s *Scheduler) markWaiting() {
	if len(s.index.waiting) > 0 {
		s.queue.add(placements, everyPod)
	}
}

// everyPod stands for all pods that wait for a node.
var everyPod = store.Key{Resource: controller.Pods}

func (s *Scheduler) markOwner(f *fact, k kind, resource string) {
	if uid := f.controller(); uid != "" {
		if key, ok := s.index.byUID[uid]; ok && key.Resource == resource {
			s.queue.add(k, key)
		}
	}
}

// becameLoose says whether an object that nobody controls is new, or has other labels now: it may be adopted.
func becameLoose(was, is *fact) bool {
	return is != nil && is.loose && (was == nil || !was.loose || was.labels != is.labels)
}

// markGarbage marks an object whose owners or whose deletion changed, those that it owns when it is gone or waits for
// them, and owners that wait for it.
func (s *Scheduler) markGarbage(key store.Key, was, is *fact) {
	uid := types.UID("")
	switch {
	case is == nil:
		uid = was.uid
	case was == nil || was.deleting != is.deleting || was.finalizing != is.finalizing || !slices.Equal(was.owners, is.owners):
		if len(is.owners) > 0 || is.finalizing {
			s.queue.add(garbage, key)
		}
		if was != nil && was.uid != is.uid {
			uid = was.uid
		} else if is.finalizing {
			uid = is.uid
		}
	}
	if uid != "" {
		for dependent := range s.index.dependents[uid] {
			s.queue.add(garbage, dependent)
		}
	}
	if was == nil || is != nil && slices.Equal(was.owners, is.owners) {
		return
	}
	for _, o := range was.owners {
		if k, ok := s.index.byUID[o.uid]; ok && s.index.facts[k].finalizing {
			s.queue.add(garbage, k)
		}
	}
}
