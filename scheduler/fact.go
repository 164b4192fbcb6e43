package scheduler

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/scheduler/placement"
	"covey.dev/covey/store"
)

// fact is what the index knows of one object. It is immutable.
type fact struct {
	uid        types.UID
	owners     []owner
	deleting   bool
	finalizing bool   // deleted, and waiting for or letting go of its dependents
	loose      bool   // a pod or replica set that nobody controls
	labels     string // of a loose one

	pod   *podFact
	node  *corev1.Node
	space map[string]string // a namespace's labels
	event *eventFact
}

type owner struct {
	uid        types.UID
	controller bool
	blocks     bool
}

type podFact struct {
	node    string
	ended   bool
	waits   bool              // for a node
	demand  *placement.Demand // nil when it has ended
	deletes bool
	ready   bool

	priority  int32
	started   time.Time // or created
	nominated string    // where room is made for it
}

// eventFact is how an event is found again: by id when the same is to be told once more, by group when it is one of
// many alike.
type eventFact struct {
	id, group string
	told      time.Time // last, by the clock of who told it; zero when that does not say
	created   time.Time
}

func (f *fact) controller() types.UID {
	if f != nil {
		for _, o := range f.owners {
			if o.controller {
				return o.uid
			}
		}
	}
	return ""
}

// unreadable says that a pod could not be decoded: nothing is decided about it.
func (f *fact) unreadable() bool { return f != nil && f.pod == nil }

func newFact(key store.Key, obj store.Object) *fact {
	f := &fact{uid: obj.GetUID(), owners: ownersOf(obj), deleting: obj.GetDeletionTimestamp() != nil}
	f.finalizing = f.deleting && slices.ContainsFunc(obj.GetFinalizers(), func(name string) bool {
		return name == metav1.FinalizerDeleteDependents || name == metav1.FinalizerOrphanDependents
	})
	if (key.Resource == controller.Pods || key.Resource == controller.ReplicaSets) && f.controller() == "" {
		f.loose, f.labels = true, labels.Set(obj.GetLabels()).String()
	}
	switch obj := obj.(type) {
	case *corev1.Pod:
		f.pod = newPodFact(obj)
	case *corev1.Node:
		f.node = obj
	case *corev1.Namespace:
		f.space = obj.Labels
	case *corev1.Event:
		f.event = newEventFact(obj)
	}
	return f
}

func ownersOf(obj store.Object) (owners []owner) {
	for _, ref := range obj.GetOwnerReferences() {
		owners = append(owners, owner{
			uid: ref.UID, controller: ref.Controller != nil && *ref.Controller,
			blocks: ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion,
		})
	}
	return owners
}

func newPodFact(pod *corev1.Pod) *podFact {
	p := &podFact{
		node:    pod.Spec.NodeName,
		ended:   ended(pod),
		waits:   waits(pod),
		deletes: pod.DeletionTimestamp != nil, priority: priority(pod), started: pod.CreationTimestamp.Time,
		nominated: pod.Status.NominatedNodeName,
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			p.ready = c.Status == corev1.ConditionTrue
		}
	}
	if pod.Status.StartTime != nil {
		p.started = pod.Status.StartTime.Time
	}
	if !p.ended {
		p.demand = placement.NewDemand(pod)
	}
	return p
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// waits says whether a node is to be found for a pod.
func waits(pod *corev1.Pod) bool {
	return pod.Spec.NodeName == "" && !ended(pod) && pod.DeletionTimestamp == nil && len(pod.Spec.SchedulingGates) == 0 &&
		(pod.Spec.SchedulerName == "" || pod.Spec.SchedulerName == corev1.DefaultSchedulerName)
}
