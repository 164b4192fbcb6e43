package upstream

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

// WriteEvents implements Writer: all are one transaction. Events about what is another node's are passed over.
func (w *StoreWriter) WriteEvents(ctx context.Context, events []Event) error {
	_, err := w.store.Update(ctx, func(tx *store.Tx) error { w.record(tx, events); return nil })
	return err
}

// record counts equal events up on one object, those of one batch among themselves too.
func (w *StoreWriter) record(tx *store.Tx, batch []Event) {
	objects := map[store.Key]*corev1.Event{}
	order := []store.Key{}
	for i := range batch {
		ev := &batch[i]
		if !w.concerns(tx.Snapshot(), ev) {
			continue
		}
		key := store.Key{Resource: "events", Namespace: ev.namespace(), Name: ev.name()}
		obj := objects[key]
		if obj == nil {
			if old, ok := store.Get[*corev1.Event](tx.Snapshot(), key); ok {
				obj = old.DeepCopy()
			} else {
				obj = ev.object(key.Name, w.node)
				w.newMeta(&obj.ObjectMeta)
			}
			objects[key], order = obj, append(order, key)
		}
		obj.Count += max(1, ev.Count)
		obj.LastTimestamp = ev.Last
	}
	for _, key := range order {
		if rec, ok := tx.Snapshot().Get(key); ok {
			tx.Put(key, objects[key], rec.Revision())
		} else if namespaceLives(tx.Snapshot(), key.Namespace) {
			tx.Create(key, objects[key])
		}
	}
}

// concerns says whether an event is about the node, or a pod of it; of a pod that is gone nobody knows any more.
func (w *StoreWriter) concerns(snap *store.Snapshot, ev *Event) bool {
	switch ev.Regarding.Kind {
	case kindNode:
		return ev.Regarding.Name == w.node
	case kindPod:
		ref := agent.PodRef{Namespace: ev.Regarding.Namespace, Name: ev.Regarding.Name, UID: string(ev.Regarding.UID)}
		_, pod, own := w.find(snap, ref)
		return own || pod == nil || string(pod.UID) != ref.UID
	}
	return false
}

// namespaceLives keeps events from being written into a namespace that is on its way out.
func namespaceLives(snap *store.Snapshot, name string) bool {
	ns, ok := store.Get[*corev1.Namespace](snap, store.Key{Resource: "namespaces", Name: name})
	return ok && ns.DeletionTimestamp == nil
}

func (ev *Event) object(name, host string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: ev.namespace(), Name: name},
		InvolvedObject:      ev.Regarding,
		Type:                ev.Type,
		Reason:              ev.Reason,
		Message:             ev.Message,
		FirstTimestamp:      ev.First,
		Source:              corev1.EventSource{Component: "covey-agent", Host: host},
		ReportingController: "covey-agent",
		ReportingInstance:   host,
	}
}
