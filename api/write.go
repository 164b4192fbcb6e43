package api

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// change is a write to an object that exists.
type change struct {
	subresource string
	manager     string
	dryRun      bool
	// tracked says that make has recorded the owners of the fields already, as server-side apply does.
	tracked bool
	// make gives the wanted object for the live one, which it must not change.
	make func(live kind.Object) (kind.Object, error)
}

// modify makes a change to the call's object and returns the object as it is then.
func (c *call) modify(ch change) (kind.Object, error) {
	return c.commit(ch.dryRun, func(tx *store.Tx) (kind.Object, effect, error) {
		rec, ok := tx.Get(c.key(c.name))
		if !ok {
			return nil, unchanged, apierrors.NewNotFound(c.groupResource(), c.name)
		}
		return c.replace(tx, rec, ch)
	})
}

// replace puts the wanted object in the place of rec, unless they are the same.
func (c *call) replace(tx *store.Tx, rec *store.Record, ch change) (kind.Object, effect, error) {
	live := c.kind.Read(rec.Object())
	obj, err := ch.make(live)
	if err != nil {
		return nil, unchanged, err
	}
	if err := c.sameObject(obj, live); err != nil {
		return nil, unchanged, err
	}
	if err := c.kind.CanWrite(obj); err != nil {
		return nil, unchanged, apierrors.NewBadRequest(err.Error())
	}
	if c.kind.Default != nil {
		c.kind.Default(obj)
	}
	if !ch.tracked {
		m, err := c.managers.For(c.kind, ch.subresource)
		if err != nil {
			return nil, unchanged, err
		}
		m.Update(live, obj, ch.manager)
	}
	if err := c.prepareAndValidate(tx, obj, live, ch.subresource); err != nil {
		return nil, unchanged, err
	}
	if same(obj, live) {
		return live, unchanged, nil
	}
	if finished(obj, live) {
		tx.Delete(rec.Key(), rec.Revision())
	} else {
		tx.Put(rec.Key(), c.kind.Write(obj), rec.Revision())
	}
	return obj, changed, nil
}

// sameObject refuses a body that is about another object or another state than the live one, and fills in what a client
// may leave out.
func (c *call) sameObject(obj, live kind.Object) error {
	if obj.GetName() == "" {
		obj.SetName(live.GetName())
	}
	if obj.GetName() != live.GetName() {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), live.GetName()))
	}
	if obj.GetNamespace() == "" || !c.kind.Namespaced {
		obj.SetNamespace(live.GetNamespace())
	}
	if obj.GetNamespace() != live.GetNamespace() {
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)",
			obj.GetNamespace(), live.GetNamespace()))
	}
	if uid := obj.GetUID(); uid != "" && uid != live.GetUID() {
		return apierrors.NewConflict(c.groupResource(), c.name,
			inTheirWords("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, live.GetUID()))
	}
	if version := obj.GetResourceVersion(); c.kind.NeedsVersion && (version == "" || version == "0") {
		return apierrors.NewInvalid(c.kind.GVK.GroupKind(), obj.GetName(), field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update"),
		})
	}
	if version := obj.GetResourceVersion(); version != "" && version != "0" && version != live.GetResourceVersion() {
		if _, err := strconv.ParseUint(version, 10, 64); err != nil {
			return apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q: %v", version, err))
		}
		return c.conflict()
	}
	obj.SetResourceVersion(live.GetResourceVersion())
	obj.SetUID(live.GetUID())
	return nil
}

// prepareAndValidate does what Kubernetes' strategies do to an update, or to a write of the status.
func (c *call) prepareAndValidate(tx *store.Tx, obj, live kind.Object, subresource string) error {
	obj.SetGeneration(live.GetGeneration())
	obj.SetCreationTimestamp(live.GetCreationTimestamp())
	obj.SetDeletionTimestamp(live.GetDeletionTimestamp())
	obj.SetDeletionGracePeriodSeconds(live.GetDeletionGracePeriodSeconds())
	obj.SetSelfLink("")
	prepare, validate := c.kind.PrepareUpdate, c.kind.ValidateUpdate
	if part, ok := c.kind.Parts[subresource]; ok {
		prepare, validate = part.Prepare, part.Validate
	}
	switch subresource {
	case "status":
		prepare, validate = c.kind.PrepareStatus, c.kind.ValidateStatus
	case "finalize": // its make has taken over the finalizers alone, which PrepareUpdate would put back
		prepare = nil
	}
	if prepare != nil {
		prepare(obj, live)
	}
	if subresource == "" {
		if err := c.admitObject(tx, obj, live); err != nil {
			return err
		}
		if err := c.reserve(tx, obj, live); err != nil {
			return err
		}
	}
	if validate != nil {
		if errs := validate(obj, live); len(errs) > 0 {
			return apierrors.NewInvalid(c.kind.GVK.GroupKind(), obj.GetName(), errs)
		}
	}
	if subresource != "status" {
		c.kindWarnings(obj, live)
	}
	return nil
}

// same reports that a write would change nothing. Times in managedFields don't count; obj takes them from live.
func same(obj, live kind.Object) bool {
	keepTimes(obj.GetManagedFields(), live.GetManagedFields())
	return apiequality.Semantic.DeepEqual(obj, live)
}

// keepTimes gives the entries that are the same but for their time the time of before.
func keepTimes(entries, before []metav1.ManagedFieldsEntry) {
	for i := range entries {
		at := slices.IndexFunc(before, func(e metav1.ManagedFieldsEntry) bool {
			e.Time = entries[i].Time
			return apiequality.Semantic.DeepEqual(e, entries[i])
		})
		if at >= 0 {
			entries[i].Time = before[at].Time
		}
	}
}

// held reports that an object which is being deleted must stay for now.
func held(obj kind.Object) bool {
	if ns, ok := obj.(*corev1.Namespace); ok && len(ns.Spec.Finalizers) > 0 {
		return true
	}
	return len(obj.GetFinalizers()) > 0
}

// finished reports that with this update the last thing that held a deleted object is gone.
func finished(obj, live kind.Object) bool {
	if live.GetDeletionTimestamp() == nil || held(obj) {
		return false
	}
	grace := live.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}
