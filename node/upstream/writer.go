package upstream

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

var _ Writer = (*StoreWriter)(nil)

// StoreWriter writes what concerns one node to the store, and nothing else: a node has no say in the pods of another.
type StoreWriter struct {
	store  *store.Store
	node   string
	now    func() time.Time
	newUID func() types.UID
	admit  func(*store.Tx, *corev1.Node) error
}

// NewWriter makes the Writer of the node of that name.
func NewWriter(st *store.Store, node string, now func() time.Time, newUID func() types.UID) *StoreWriter {
	return &StoreWriter{store: st, node: node, now: now, newUID: newUID, admit: func(*store.Tx, *corev1.Node) error { return nil }}
}

// Admitting makes the writer ask admit whether the node may register, in the transaction that does it, and return its error.
func (w *StoreWriter) Admitting(admit func(tx *store.Tx, node *corev1.Node) error) *StoreWriter {
	w.admit = admit
	return w
}

// WriteStatus implements Writer: all updates are one transaction.
func (w *StoreWriter) WriteStatus(ctx context.Context, updates []agent.PodStatus) (uint64, error) {
	revision, err := w.store.Update(ctx, func(tx *store.Tx) error {
		for _, up := range updates {
			rec, pod, ok := w.find(tx.Snapshot(), up.Pod)
			if !ok {
				continue
			}
			status := up.Onto(&pod.Status)
			if equality.Semantic.DeepEqual(pod.Status, status) {
				continue
			}
			pod = pod.DeepCopy()
			pod.Status = status
			tx.Put(rec.Key(), pod, rec.Revision())
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("write the status of %d pods: %w", len(updates), err)
	}
	return revision, nil
}

// Remove implements Writer.
func (w *StoreWriter) Remove(ctx context.Context, ref agent.PodRef) error {
	_, err := w.store.Update(ctx, func(tx *store.Tx) error {
		rec, pod, ok := w.find(tx.Snapshot(), ref)
		switch {
		case !ok:
		case len(pod.Finalizers) == 0:
			tx.Delete(rec.Key(), rec.Revision())
		case pod.DeletionGracePeriodSeconds == nil || *pod.DeletionGracePeriodSeconds != 0:
			// Somebody's finalizer still holds the object: say that the node is done with it.
			pod = pod.DeepCopy()
			pod.DeletionGracePeriodSeconds = new(int64)
			tx.Put(rec.Key(), pod, rec.Revision())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove pod %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	return nil
}

// find looks a pod of the node up by name and checks that it is that life of it.
func (w *StoreWriter) find(snap *store.Snapshot, ref agent.PodRef) (*store.Record, *corev1.Pod, bool) {
	rec, ok := snap.Get(podKey(ref.Namespace, ref.Name))
	if !ok {
		return nil, nil, false
	}
	pod := rec.Object().(*corev1.Pod)
	return rec, pod, string(pod.UID) == ref.UID && pod.Spec.NodeName == w.node
}

func podKey(namespace, name string) store.Key {
	return store.Key{Resource: "pods", Namespace: namespace, Name: name}
}

func (w *StoreWriter) newMeta(meta *metav1.ObjectMeta) {
	meta.UID = w.newUID()
	meta.CreationTimestamp = metav1.NewTime(w.now().Truncate(time.Second))
}
