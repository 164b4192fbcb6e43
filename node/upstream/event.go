package upstream

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

// eventQueue is how many events may wait to be written before further ones are dropped.
const eventQueue = 256

type event struct {
	regarding                  corev1.ObjectReference
	eventType, reason, message string
	at                         metav1.Time
}

// Event implements agent.Upstream.
func (u *Upstream) Event(pod agent.PodRef, eventType, reason, message, containerPath string) {
	u.tell(corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: types.UID(pod.UID), FieldPath: containerPath,
	}, eventType, reason, message)
}

// NodeEvent implements agent.Upstream. A node's name stands for its UID, as in Kubernetes.
func (u *Upstream) NodeEvent(node, eventType, reason, message string) {
	u.tell(corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node, UID: types.UID(node)}, eventType, reason, message)
}

func (u *Upstream) tell(regarding corev1.ObjectReference, eventType, reason, message string) {
	select {
	case u.events <- event{regarding, eventType, reason, message, metav1.NewTime(u.now())}:
	default:
		u.log.Debug("event dropped: too many are waiting", "kind", regarding.Kind, "name", regarding.Name, "reason", reason)
	}
}

// Run writes the events, those that wait together as one transaction, until ctx ends.
func (u *Upstream) Run(ctx context.Context, host string) error {
	for {
		var batch []event
		select {
		case <-ctx.Done():
			return nil
		case ev := <-u.events:
			batch = u.waiting([]event{ev})
		}
		_, err := u.store.Update(ctx, func(tx *store.Tx) error { return record(tx, batch, host, u.newMeta) })
		if err != nil && ctx.Err() == nil {
			u.log.Warn("events were not written", "count", len(batch), "error", err)
		}
	}
}

func (u *Upstream) waiting(batch []event) []event {
	for {
		select {
		case ev := <-u.events:
			batch = append(batch, ev)
		default:
			return batch
		}
	}
}

// record counts equal events up on one object, those of one batch among themselves too.
func record(tx *store.Tx, batch []event, host string, newMeta func(*metav1.ObjectMeta)) error {
	objects := map[store.Key]*corev1.Event{}
	order := []store.Key{}
	for _, ev := range batch {
		key := store.Key{Resource: "events", Namespace: ev.namespace(), Name: ev.name()}
		obj := objects[key]
		if obj == nil {
			if old, ok := store.Get[*corev1.Event](tx.Snapshot(), key); ok {
				obj = old.DeepCopy()
			} else {
				obj = ev.object(key.Name, host)
				newMeta(&obj.ObjectMeta)
			}
			objects[key], order = obj, append(order, key)
		}
		obj.Count++
		obj.LastTimestamp = ev.at
	}
	for _, key := range order {
		if rec, ok := tx.Snapshot().Get(key); ok {
			tx.Put(key, objects[key], rec.Revision())
		} else if namespaceLives(tx.Snapshot(), key.Namespace) {
			tx.Create(key, objects[key])
		}
	}
	return nil
}

// namespaceLives keeps events from being written into a namespace that is on its way out.
func namespaceLives(snap *store.Snapshot, name string) bool {
	ns, ok := store.Get[*corev1.Namespace](snap, store.Key{Resource: "namespaces", Name: name})
	return ok && ns.DeletionTimestamp == nil
}

// namespace of an event about what is in none is default.
func (ev event) namespace() string { return cmp.Or(ev.regarding.Namespace, metav1.NamespaceDefault) }

// name is the same for equal events, so that they meet on one object even across a restart.
func (ev event) name() string {
	h := fnv.New64a()
	for _, part := range []string{string(ev.regarding.UID), ev.eventType, ev.reason, ev.message, ev.regarding.FieldPath} {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	return fmt.Sprintf("%s.%016x", ev.regarding.Name, h.Sum64())
}

func (ev event) object(name, host string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: ev.namespace(), Name: name},
		InvolvedObject:      ev.regarding,
		Type:                ev.eventType,
		Reason:              ev.reason,
		Message:             ev.message,
		FirstTimestamp:      ev.at,
		Source:              corev1.EventSource{Component: "covey-agent", Host: host},
		ReportingController: "covey-agent",
		ReportingInstance:   host,
	}
}
