package api

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// reserve has the kind choose what the object lacks, and writes down what it holds then: an object for each name, so that two
// transactions which take the same name cannot both succeed. What a deleted or changed object held is taken over by the
// next one that wants it. old is nil when obj is new.
func (c *call) reserve(tx *store.Tx, obj, old kind.Object) error {
	if c.kind.Reserve == nil {
		return nil
	}
	free := func(r kind.Reservation) bool { return c.free(tx, r, obj) }
	if errs := c.kind.Reserve(obj, old, free); len(errs) > 0 {
		return apierrors.NewInvalid(c.kind.GVK.GroupKind(), obj.GetName(), errs)
	}
	var kept []kind.Reservation
	if old != nil {
		kept = c.kind.Holds(old)
	}
	for _, r := range c.kind.Holds(obj) {
		c.write(tx, r, obj, slices.Contains(kept, r))
	}
	return nil
}

// The keys in what is stored of a reservation: who holds it.
const (
	holderNamespace = "namespace"
	holderName      = "name"
)

func reservationKey(r kind.Reservation) store.Key { return store.Key{Resource: r.Table, Name: r.Name} }

func (c *call) free(tx *store.Tx, r kind.Reservation, obj kind.Object) bool {
	held, ok := store.Get[*corev1.ConfigMap](tx.Snapshot(), reservationKey(r))
	if !ok || isHolder(held, obj) {
		return true
	}
	rec, there := tx.Get(store.Key{Resource: c.kind.Resource(), Namespace: held.Data[holderNamespace], Name: held.Data[holderName]})
	return !there || !slices.Contains(c.kind.Holds(rec.Object()), r)
}

func isHolder(held *corev1.ConfigMap, obj kind.Object) bool {
	return held.Data[holderNamespace] == obj.GetNamespace() && held.Data[holderName] == obj.GetName()
}

// write makes obj the holder. One that takes again what it let go writes it down again, though it says the same: another one may be
// taking that over.
func (c *call) write(tx *store.Tx, r kind.Reservation, obj kind.Object, kept bool) {
	key := reservationKey(r)
	if rec, taken := tx.Get(key); taken && kept && isHolder(rec.Object().(*corev1.ConfigMap), obj) {
		return
	}
	tx.Set(key, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: r.Name},
		Data:       map[string]string{holderNamespace: obj.GetNamespace(), holderName: obj.GetName()},
	})
}
