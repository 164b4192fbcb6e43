package autoscaler

import (
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/autoscale"
	"covey.dev/covey/store"
)

// world is what the autoscalers of one step look at.
type world struct {
	snap    *store.Snapshot
	targets func(group, kind string) (Target, bool)
	pods    map[types.UID][]*corev1.Pod // by the object that controls them
	sets    map[types.UID][]types.UID   // replica sets by the object that controls them
}

func newWorld(snap *store.Snapshot, targets func(group, kind string) (Target, bool)) *world {
	w := &world{snap: snap, targets: targets, pods: map[types.UID][]*corev1.Pod{}, sets: map[types.UID][]types.UID{}}
	for pod := range store.List[*corev1.Pod](snap, "pods", "") {
		if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
			w.pods[owner.UID] = append(w.pods[owner.UID], pod)
		}
	}
	for set := range store.List[*appsv1.ReplicaSet](snap, "replicasets.apps", "") {
		if owner := metav1.GetControllerOfNoCopy(set); owner != nil {
			w.sets[owner.UID] = append(w.sets[owner.UID], set.UID)
		}
	}
	return w
}

// scaling is one autoscaler in one step.
type scaling struct {
	hpa      *autoscalingv2.HorizontalPodAutoscaler
	target   Target
	key      store.Key
	object   store.Object // what is scaled
	revision uint64       // of it
	current  int32
	ready    []*corev1.Pod // its pods that are ready
	err      error         // why the target's size is not known

	decision autoscale.Decision
	rules    *autoscale.Rules
	metrics  []metric
	status   autoscalingv2.HorizontalPodAutoscalerStatus
	events   []event
}

var errNoScale = errors.New("it has no scale subresource")

// find looks up what an autoscaler scales, and its pods.
func (w *world) find(h *autoscalingv2.HorizontalPodAutoscaler) *scaling {
	c := &scaling{hpa: h, rules: rulesOf(h)}
	ref := h.Spec.ScaleTargetRef
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		c.err = err
		return c
	}
	target, ok := w.targets(gv.Group, ref.Kind)
	if !ok {
		c.err = fmt.Errorf("kind %s of %q: %w", ref.Kind, ref.APIVersion, errNoScale)
		return c
	}
	c.target, c.key = target, store.Key{Resource: target.Resource, Namespace: h.Namespace, Name: ref.Name}
	rec, ok := w.snap.Get(c.key)
	if !ok {
		c.err = fmt.Errorf("%s %q not found", target.Resource, ref.Name)
		return c
	}
	c.object, c.revision = rec.Object(), rec.Revision()
	c.current = target.Replicas(c.object)
	for _, owner := range append([]types.UID{c.object.GetUID()}, w.sets[c.object.GetUID()]...) {
		for _, pod := range w.pods[owner] {
			if isReady(pod) {
				c.ready = append(c.ready, pod)
			}
		}
	}
	return c
}

func isReady(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return false
	}
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// nodesOf are the nodes that have pods of these.
func nodesOf(cases []*scaling) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range cases {
		for _, pod := range c.ready {
			if name := pod.Spec.NodeName; !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}

// askedOf are the pods whose requests are a metric.
func askedOf(cases []*scaling) []types.NamespacedName {
	var out []types.NamespacedName
	for _, c := range cases {
		if !slices.ContainsFunc(c.hpa.Spec.Metrics, func(m autoscalingv2.MetricSpec) bool { return m.Pods != nil }) {
			continue
		}
		for _, pod := range c.ready {
			out = append(out, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
		}
	}
	return out
}
