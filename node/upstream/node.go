package upstream

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"covey.dev/covey/store"
)

// Register implements Writer. Labels and annotations that others set stay; the rest of the spec is the cluster's.
func (w *StoreWriter) Register(ctx context.Context, node *corev1.Node) (*corev1.Node, error) {
	if node.Name != w.node {
		return nil, fmt.Errorf("register node %s: it is node %s that asks", node.Name, w.node)
	}
	key := store.Key{Resource: "nodes", Name: node.Name}
	_, err := w.store.Update(ctx, func(tx *store.Tx) error {
		if err := w.admit(tx, node); err != nil {
			return err
		}
		rec, ok := tx.Snapshot().Get(key)
		if !ok {
			created := node.DeepCopy()
			w.newMeta(&created.ObjectMeta)
			if err := choosePodCIDR(tx, created); err != nil {
				return err
			}
			tx.Create(key, created)
			return nil
		}
		old := rec.Object().(*corev1.Node)
		merged := merge(old, node)
		if merged.Spec.PodCIDR == "" { // it ran no pods until now
			merged.Spec.PodCIDR = node.Spec.PodCIDR
			if err := choosePodCIDR(tx, merged); err != nil {
				return err
			}
		}
		if !equality.Semantic.DeepEqual(old, merged) {
			tx.Put(key, merged, rec.Revision())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("register node %s: %w", node.Name, err)
	}
	stored, ok := store.Get[*corev1.Node](w.store.Snapshot(), key)
	if !ok {
		return nil, fmt.Errorf("register node %s: it was deleted at once", node.Name)
	}
	return stored, nil
}

func merge(old, node *corev1.Node) *corev1.Node {
	merged := old.DeepCopy()
	merged.Labels = overlay(merged.Labels, node.Labels)
	merged.Annotations = overlay(merged.Annotations, node.Annotations)
	node.Status.DeepCopyInto(&merged.Status)
	keepTimes(merged.Status.Conditions, old.Status.Conditions)
	return merged
}

// keepTimes leaves the times of a condition that says what it said before, so that nothing is written for them.
func keepTimes(conditions, old []corev1.NodeCondition) {
	for i := range conditions {
		for _, was := range old {
			c := &conditions[i]
			if was.Type == c.Type && was.Status == c.Status {
				c.LastTransitionTime = was.LastTransitionTime
				if was.Reason == c.Reason && was.Message == c.Message {
					c.LastHeartbeatTime = was.LastHeartbeatTime
				}
			}
		}
	}
}

func overlay(base, over map[string]string) map[string]string {
	if len(over) == 0 {
		return base
	}
	merged := maps.Clone(base)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, over)
	return merged
}
