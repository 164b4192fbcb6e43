package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/wire"
	"covey.dev/covey/store"
)

// deletion is what a deletion did to one object.
type deletion struct {
	obj  kind.Object // as it was last, or as it is while it is going
	gone bool
	did  effect
}

// deleteObject answers DELETE on one object.
func deleteObject(c *call) error {
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	var result deletion
	result.obj, err = c.commit(len(opts.DryRun) > 0, func(tx *store.Tx) (kind.Object, effect, error) {
		rec, ok := tx.Get(c.key(c.name))
		if !ok {
			return nil, unchanged, apierrors.NewNotFound(c.groupResource(), c.name)
		}
		result, err = c.remove(tx, rec, opts)
		return result.obj, result.did, err
	})
	if err != nil {
		return err
	}
	if result.gone && c.kind.Resource() != "pods" {
		return c.respondOther(http.StatusOK, c.deleted(result.obj))
	}
	code := http.StatusOK
	if !result.gone && foreground(opts) {
		code = http.StatusAccepted
	}
	return c.respond(code, c.kind.Read(result.obj))
}

// deleted is the Status that says an object is gone. Pods are answered themselves, as in Kubernetes.
func (c *call) deleted(obj kind.Object) *metav1.Status {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusSuccess,
		Details:  &metav1.StatusDetails{Name: obj.GetName(), Group: c.kind.GVK.Group, Kind: c.kind.Plural, UID: obj.GetUID()},
	}
}

// deleteOptions reads them from the body, in whatever kind's name and encoding they come, or else from the query.
func (c *call) deleteOptions() (*metav1.DeleteOptions, error) {
	opts := &metav1.DeleteOptions{}
	body, err := wire.ReadBody(c.r)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		media := wire.MediaType(c.r.Header.Get("Content-Type"))
		if _, err := wire.Decode(body, media, c.optionsKind(body, media), opts); err != nil {
			return nil, err
		}
	} else {
		query := c.r.URL.Query()
		if err := metav1.Convert_url_Values_To_v1_DeleteOptions(&query, opts, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	recordOf(c.r).Requested(opts)
	return opts, invalidOptions("DeleteOptions", metav1validation.ValidateDeleteOptions(opts))
}

// optionsKind is the kind that the body says it has. DeleteOptions are a kind of every group and version: clients send
// those of v1, meta.k8s.io/v1 or the object's own.
func (c *call) optionsKind(body []byte, media string) schema.GroupVersionKind {
	named, err := wire.Kind(body, media)
	if err == nil && named.Kind == "DeleteOptions" {
		return named
	}
	return schema.GroupVersionKind{Version: "v1", Kind: "DeleteOptions"}
}

// remove deletes rec in tx, or begins to: an object that has finalizers or a grace period is marked and stays.
func (c *call) remove(tx *store.Tx, rec *store.Record, opts *metav1.DeleteOptions) (deletion, error) {
	live := rec.Object()
	if err := c.preconditions(live, opts.Preconditions); err != nil {
		return deletion{}, err
	}
	if c.kind.Resource() == "namespaces" && immortal(live.GetName()) {
		return deletion{}, apierrors.NewForbidden(c.groupResource(), live.GetName(), fmt.Errorf("this namespace may not be deleted"))
	}
	return c.removeAs(tx, rec, live.DeepCopyObject().(kind.Object), opts)
}

// removeAs is remove without preconditions, for an object that is to stay as obj if it stays.
func (c *call) removeAs(tx *store.Tx, rec *store.Record, obj kind.Object, opts *metav1.DeleteOptions) (deletion, error) {
	live := rec.Object()
	setDependentFinalizers(obj, opts)
	stays := c.grace(obj, opts)
	if !stays && held(obj) {
		stays = true
		c.mark(obj, 0)
	}
	switch {
	case !stays:
		tx.Delete(rec.Key(), rec.Revision())
		return deletion{obj: obj, gone: true, did: changed}, nil
	case same(obj, live):
		return deletion{obj: live, did: unchanged}, nil
	}
	tx.Put(rec.Key(), obj, rec.Revision())
	return deletion{obj: obj, did: changed}, nil
}

// immortal namespaces are those that a cluster cannot be without.
func immortal(name string) bool {
	return name == metav1.NamespaceDefault || name == metav1.NamespaceSystem || name == metav1.NamespacePublic
}

func (c *call) preconditions(obj kind.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != obj.GetUID() {
		return apierrors.NewConflict(c.groupResource(), obj.GetName(),
			inTheirWords("Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, obj.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != obj.GetResourceVersion() {
		return apierrors.NewConflict(c.groupResource(), obj.GetName(),
			inTheirWords("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, obj.GetResourceVersion()))
	}
	return nil
}

// grace announces the deletion of obj where its kind has a grace period, and reports whether it must stay for that.
func (c *call) grace(obj kind.Object, opts *metav1.DeleteOptions) (stays bool) {
	if c.kind.GraceSeconds == nil {
		return false
	}
	seconds := c.kind.GraceSeconds(obj, opts.GracePeriodSeconds)
	if obj.GetDeletionTimestamp() == nil {
		if seconds <= 0 {
			return false
		}
		c.mark(obj, seconds)
		return true
	}
	announced := obj.GetDeletionGracePeriodSeconds()
	if announced == nil || *announced == 0 {
		return false
	}
	// A second request may only shorten the grace.
	if opts.GracePeriodSeconds == nil || seconds >= *announced {
		return true
	}
	if seconds <= 0 {
		zero := int64(0)
		obj.SetDeletionGracePeriodSeconds(&zero)
		return false
	}
	began := obj.GetDeletionTimestamp().Add(-time.Duration(*announced) * time.Second)
	setDeletion(obj, maxTime(began.Add(time.Duration(seconds)*time.Second), c.now), seconds)
	return true
}

func maxTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// mark begins the deletion of obj, which stays until its finalizers are gone and its grace period is over.
func (c *call) mark(obj kind.Object, seconds int64) {
	if obj.GetDeletionTimestamp() != nil {
		setDeletion(obj, obj.GetDeletionTimestamp().Time, seconds)
		return
	}
	setDeletion(obj, c.now.Add(time.Duration(seconds)*time.Second), seconds)
	if obj.GetGeneration() > 0 {
		obj.SetGeneration(obj.GetGeneration() + 1)
	}
	if c.kind.OnDelete != nil {
		c.kind.OnDelete(obj)
	}
}

func setDeletion(obj kind.Object, at time.Time, seconds int64) {
	when := metav1.NewTime(at).Rfc3339Copy()
	obj.SetDeletionTimestamp(&when)
	obj.SetDeletionGracePeriodSeconds(&seconds)
}

// setDependentFinalizers turns the propagation policy into the finalizers that the garbage collector acts on.
func setDependentFinalizers(obj kind.Object, opts *metav1.DeleteOptions) {
	wanted := ""
	switch {
	case opts.PropagationPolicy != nil && *opts.PropagationPolicy == metav1.DeletePropagationOrphan,
		opts.OrphanDependents != nil && *opts.OrphanDependents: //nolint:staticcheck // old clients still send it
		wanted = metav1.FinalizerOrphanDependents
	case opts.PropagationPolicy != nil && *opts.PropagationPolicy == metav1.DeletePropagationForeground:
		wanted = metav1.FinalizerDeleteDependents
	case opts.PropagationPolicy == nil && opts.OrphanDependents == nil: //nolint:staticcheck // as above
		return
	}
	finalizers := slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool {
		return f != wanted && (f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents)
	})
	if wanted != "" && !slices.Contains(finalizers, wanted) {
		finalizers = append(finalizers, wanted)
	}
	if len(finalizers) == 0 {
		finalizers = nil
	}
	obj.SetFinalizers(finalizers)
}

func foreground(opts *metav1.DeleteOptions) bool {
	return opts.PropagationPolicy != nil && *opts.PropagationPolicy == metav1.DeletePropagationForeground
}
