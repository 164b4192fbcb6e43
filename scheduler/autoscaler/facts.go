package autoscaler

import (
	"iter"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/store"
)

// facts is what a step needs to know of objects, kept from step to step so that only those that have changed are decoded.
type facts struct {
	scalers extract[*autoscalingv2.HorizontalPodAutoscaler]
	pods    extract[*podFact]
	sets    extract[setFact]
	nodes   extract[nodeFact]
	sizes   map[store.Key]sizeFact
}

func newFacts() facts {
	return facts{
		scalers: extract[*autoscalingv2.HorizontalPodAutoscaler]{read: func(obj store.Object) (*autoscalingv2.HorizontalPodAutoscaler, bool) {
			h, ok := obj.(*autoscalingv2.HorizontalPodAutoscaler)
			return h, ok
		}},
		pods: extract[*podFact]{read: readPod}, sets: extract[setFact]{read: readSet}, nodes: extract[nodeFact]{read: readNode},
		sizes: map[store.Key]sizeFact{},
	}
}

// extract remembers what was read out of a resource's records, which never change.
type extract[T any] struct {
	read  func(store.Object) (T, bool)
	known map[*store.Record]entry[T]
}

type entry[T any] struct {
	value T
	ok    bool
}

// of is what is read out of the resource's records as they are now.
func (e *extract[T]) of(snap *store.Snapshot, resource string) iter.Seq[T] {
	now := make(map[*store.Record]entry[T], len(e.known))
	for rec := range snap.List(resource, "") {
		is, known := e.known[rec]
		if !known {
			is.value, is.ok = e.read(rec.Object())
		}
		now[rec] = is
	}
	e.known = now
	return func(yield func(T) bool) {
		for rec := range snap.List(resource, "") {
			if is := now[rec]; is.ok && !yield(is.value) {
				return
			}
		}
	}
}

// podFact is a pod that something controls.
type podFact struct {
	types.NamespacedName
	node       string
	owner      types.UID
	ready      bool
	since      time.Time // it is ready
	containers []containerFact
}

// containerFact is one of the containers that run as long as a pod: its own, and sidecars.
type containerFact struct {
	name     string
	requests corev1.ResourceList
}

func readPod(obj store.Object) (*podFact, bool) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, false
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return nil, false
	}
	f := &podFact{NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, node: pod.Spec.NodeName, owner: owner.UID}
	for _, is := range pod.Status.Conditions {
		if is.Type == corev1.PodReady && is.Status == corev1.ConditionTrue {
			f.ready, f.since = pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning, is.LastTransitionTime.Time
		}
	}
	if !f.ready {
		return f, true
	}
	for i := range pod.Spec.Containers {
		f.containers = append(f.containers, containerFact{pod.Spec.Containers[i].Name, pod.Spec.Containers[i].Resources.Requests})
	}
	for i := range pod.Spec.InitContainers {
		if one := &pod.Spec.InitContainers[i]; one.RestartPolicy != nil && *one.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			f.containers = append(f.containers, containerFact{one.Name, one.Resources.Requests})
		}
	}
	return f, true
}

// setFact is a replica set that something controls.
type setFact struct{ uid, owner types.UID }

func readSet(obj store.Object) (setFact, bool) {
	owner := metav1.GetControllerOfNoCopy(obj)
	if owner == nil {
		return setFact{}, false
	}
	return setFact{obj.GetUID(), owner.UID}, true
}

type nodeFact struct {
	name string
	lost bool // it is not ready
}

func readNode(obj store.Object) (nodeFact, bool) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return nodeFact{}, false
	}
	f := nodeFact{name: node.Name}
	for _, is := range node.Status.Conditions {
		f.lost = f.lost || is.Type == corev1.NodeReady && is.Status != corev1.ConditionTrue
	}
	return f, true
}

// sizeFact is how large a target is.
type sizeFact struct {
	rec      *store.Record
	uid      types.UID
	replicas int32
}

func (f *facts) size(rec *store.Record, t Target) sizeFact {
	is, ok := f.sizes[rec.Key()]
	if !ok || is.rec != rec {
		obj := rec.Object()
		is = sizeFact{rec, obj.GetUID(), t.Replicas(obj)}
		f.sizes[rec.Key()] = is
	}
	return is
}
