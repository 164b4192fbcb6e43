package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

var _ agent.Upstream = (*Upstream)(nil)

// Upstream implements agent.Upstream over the store.
type Upstream struct {
	store  *store.Store
	now    func() time.Time
	newUID func() types.UID
	log    *slog.Logger
	events chan event
}

// New makes an Upstream. Events are written by Run; the other methods work without it.
func New(st *store.Store, now func() time.Time, newUID func() types.UID, log *slog.Logger) *Upstream {
	return &Upstream{store: st, now: now, newUID: newUID, log: log, events: make(chan event, eventQueue)}
}

// Follow implements agent.Upstream.
func (u *Upstream) Follow(ctx context.Context, node string, update func([]*corev1.Pod)) error {
	for {
		err := u.follow(ctx, node, update)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, store.ErrExpired) {
			return fmt.Errorf("follow the pods of node %s: %w", node, err)
		}
	}
}

func (u *Upstream) follow(ctx context.Context, node string, update func([]*corev1.Pod)) error {
	snap := u.store.Snapshot()
	pods := map[store.Key]*corev1.Pod{}
	for pod := range store.List[*corev1.Pod](snap, "pods", "") {
		if pod.Spec.NodeName == node {
			pods[podKey(pod.Namespace, pod.Name)] = pod
		}
	}
	watch, err := u.store.Watch(snap.Revision(), "pods")
	if err != nil {
		return err
	}
	update(values(pods))
	for {
		events, err := watch.Next(ctx)
		if err != nil {
			return err
		}
		changed := false
		for _, ev := range events {
			changed = apply(pods, node, ev) || changed
		}
		if changed {
			update(values(pods))
		}
	}
}

// apply reports whether the event concerns a pod of the node.
func apply(pods map[store.Key]*corev1.Pod, node string, ev store.Event) bool {
	if ev.Cur != nil {
		pod := ev.Cur.Object().(*corev1.Pod)
		if pod.Spec.NodeName == node {
			pods[ev.Cur.Key()] = pod
			return true
		}
	}
	rec := ev.Cur
	if rec == nil {
		rec = ev.Prev
	}
	_, had := pods[rec.Key()]
	delete(pods, rec.Key())
	return had
}

func values(pods map[store.Key]*corev1.Pod) []*corev1.Pod {
	list := make([]*corev1.Pod, 0, len(pods))
	for _, pod := range pods {
		list = append(list, pod)
	}
	return list
}

// WriteStatus implements agent.Upstream: all updates are one transaction.
func (u *Upstream) WriteStatus(ctx context.Context, updates []agent.PodStatus) error {
	_, err := u.store.Update(ctx, func(tx *store.Tx) error {
		for _, up := range updates {
			rec, pod, ok := find(tx.Snapshot(), up.Pod)
			if !ok || equality.Semantic.DeepEqual(pod.Status, up.Status) {
				continue
			}
			pod = pod.DeepCopy()
			up.Status.DeepCopyInto(&pod.Status)
			tx.Put(rec.Key(), pod, rec.Revision())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the status of %d pods: %w", len(updates), err)
	}
	return nil
}

// Remove implements agent.Upstream.
func (u *Upstream) Remove(ctx context.Context, ref agent.PodRef) error {
	_, err := u.store.Update(ctx, func(tx *store.Tx) error {
		rec, pod, ok := find(tx.Snapshot(), ref)
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

// ConfigMap implements agent.Upstream.
func (u *Upstream) ConfigMap(_ context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	return get[*corev1.ConfigMap](u, "configmaps", "configmap", namespace, name)
}

// Secret implements agent.Upstream.
func (u *Upstream) Secret(_ context.Context, namespace, name string) (*corev1.Secret, error) {
	return get[*corev1.Secret](u, "secrets", "secret", namespace, name)
}

func get[T store.Object](u *Upstream, resource, singular, namespace, name string) (T, error) {
	obj, ok := store.Get[T](u.store.Snapshot(), store.Key{Resource: resource, Namespace: namespace, Name: name})
	if !ok {
		return obj, fmt.Errorf("%s %q %w", singular, name, agent.ErrNotFound)
	}
	return obj, nil
}

// find looks a pod up by name and checks that it is that life of it.
func find(snap *store.Snapshot, ref agent.PodRef) (*store.Record, *corev1.Pod, bool) {
	rec, ok := snap.Get(podKey(ref.Namespace, ref.Name))
	if !ok {
		return nil, nil, false
	}
	pod := rec.Object().(*corev1.Pod)
	return rec, pod, string(pod.UID) == ref.UID
}

func podKey(namespace, name string) store.Key {
	return store.Key{Resource: "pods", Namespace: namespace, Name: name}
}

func (u *Upstream) newMeta(meta *metav1.ObjectMeta) {
	meta.UID = u.newUID()
	meta.CreationTimestamp = metav1.NewTime(u.now().Truncate(time.Second))
}
