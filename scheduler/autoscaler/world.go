package autoscaler

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/autoscale"
	"covey.dev/covey/store"
)

// world is what the autoscalers of one step look at.
type world struct {
	snap    *store.Snapshot
	pods    map[types.UID][]*podFact  // by the object that controls them
	sets    map[types.UID][]types.UID // replica sets by the object that controls them
	lost    map[string]bool           // nodes that are not ready
	scalers map[scaledObject][]string // names of autoscalers
}

// scaledObject is what an autoscaler names as its target.
type scaledObject struct{ namespace, group, kind, name string }

func targetOf(h *autoscalingv2.HorizontalPodAutoscaler) scaledObject {
	ref := h.Spec.ScaleTargetRef
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	return scaledObject{h.Namespace, group, ref.Kind, ref.Name}
}

// look takes in what there is.
func (f *facts) look(snap *store.Snapshot) *world {
	w := &world{
		snap: snap, pods: map[types.UID][]*podFact{}, sets: map[types.UID][]types.UID{},
		lost: map[string]bool{}, scalers: map[scaledObject][]string{},
	}
	for h := range f.scalers.of(snap, resource) {
		of := targetOf(h)
		w.scalers[of] = append(w.scalers[of], h.Name)
	}
	for node := range f.nodes.of(snap, "nodes") {
		if node.lost {
			w.lost[node.name] = true
		}
	}
	for set := range f.sets.of(snap, "replicasets.apps") {
		w.sets[set.owner] = append(w.sets[set.owner], set.uid)
	}
	for pod := range f.pods.of(snap, "pods") {
		if pod.ready {
			w.pods[pod.owner] = append(w.pods[pod.owner], pod)
		}
	}
	return w
}

// scaling is one autoscaler in one step.
type scaling struct {
	hpa     *autoscalingv2.HorizontalPodAutoscaler
	target  Target
	key     store.Key
	uid     types.UID // of what is scaled
	current int32
	ready   []*podFact // its pods that are ready
	err     error      // why the target's size is not known
	rivals  []string   // the autoscalers of the target, this one too

	decision  autoscale.Decision
	estimates []autoscale.Average
	rules     *autoscale.Rules
	metrics   []metric
	status    autoscalingv2.HorizontalPodAutoscalerStatus
	events    []event
}

var errNoScale = errors.New("it has no scale subresource")

// find looks up what an autoscaler scales, and its pods.
func (a *Autoscaler) find(w *world, h *autoscalingv2.HorizontalPodAutoscaler) *scaling {
	c := &scaling{hpa: h, rules: rulesOf(h)}
	ref := h.Spec.ScaleTargetRef
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		c.err = err
		return c
	}
	target, ok := a.cfg.Targets(gv.Group, ref.Kind)
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
	size := a.facts.size(rec, target)
	c.uid, c.current, c.rivals = size.uid, size.replicas, w.scalers[targetOf(h)]
	for _, owner := range append([]types.UID{c.uid}, w.sets[c.uid]...) {
		for _, pod := range w.pods[owner] {
			if !w.lost[pod.node] { // from a node that is cut off nobody hears that its pods are not ready
				c.ready = append(c.ready, pod)
			}
		}
	}
	return c
}

// nodesOf are the nodes that have pods of these.
func nodesOf(cases []*scaling) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range cases {
		for _, pod := range c.ready {
			if !seen[pod.node] {
				seen[pod.node] = true
				out = append(out, pod.node)
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
			out = append(out, pod.NamespacedName)
		}
	}
	return out
}
