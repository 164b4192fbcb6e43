package api

import (
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/view"
	"covey.dev/covey/api/wire"
	"covey.dev/covey/store"
)

// listOrWatch answers GET on a collection.
func listOrWatch(c *call) error {
	opts, err := c.listOptions()
	if err != nil {
		return err
	}
	if opts.Watch {
		return watch(c, opts)
	}
	return list(c, opts)
}

// list answers with the selected objects of one revision, or with a page of them.
func list(c *call, opts *listOptions) error {
	from, err := c.page(opts)
	if err != nil {
		return err
	}
	recs, rest := opts.collect(from, int(opts.Limit))
	list := listMeta(c.revision(from.snapshot))
	if rest != nil {
		last := recs[len(recs)-1]
		list.Continue = token{Revision: from.snapshot.Revision(), After: last.Key()}.encode()
		list.RemainingItemCount = rest.count
	}
	return c.respondRecords(http.StatusOK, recs, list)
}

// longAgo is a revision that a watch from is told to begin anew, or brings all that ever happened.
const longAgo = 1

// revision is the one that a list of a state has.
func (c *call) revision(of *store.Snapshot) string {
	if c.cfg.Partial {
		return fmt.Sprint(longAgo)
	}
	return fmt.Sprint(of.Revision())
}

func (c *call) keyOf(obj kind.Object) store.Key {
	return store.Key{Resource: c.kind.Resource(), Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

func listMeta(revision string) metav1.ListMeta { return metav1.ListMeta{ResourceVersion: revision} }

// page is where a list starts.
type page struct {
	snapshot *store.Snapshot
	after    *store.Key // nil: at the beginning
}

// page finds the snapshot that the request is about.
func (c *call) page(opts *listOptions) (page, error) {
	if opts.Continue == "" {
		snap, err := c.listSnapshot(opts)
		return page{snapshot: snap}, err
	}
	if opts.ResourceVersion != "" && opts.ResourceVersion != "0" {
		return page{}, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	at, err := decodeToken(opts.Continue)
	if err != nil {
		return page{}, err
	}
	at.After.Resource = c.kind.Resource()
	if at.Revision == anyRevision {
		snap, err := c.current()
		return page{snapshot: snap, after: &at.After}, err
	}
	if err := c.reach(at.Revision); err != nil {
		return page{}, err
	}
	snap, err := c.cfg.Store.At(at.Revision)
	if errors.Is(err, store.ErrExpired) {
		return page{}, expired(at)
	}
	return page{snapshot: snap, after: &at.After}, err
}

func (c *call) listSnapshot(opts *listOptions) (*store.Snapshot, error) {
	// A page of a revision has always been one of exactly that revision; "match" came later.
	paged := opts.Limit > 0 && opts.ResourceVersionMatch == "" && opts.ResourceVersion != "" && opts.ResourceVersion != "0"
	if opts.ResourceVersionMatch != metav1.ResourceVersionMatchExact && !paged {
		return c.snapshot(opts.ResourceVersion)
	}
	revision, err := parseRevision(opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	if err := c.reach(revision); err != nil {
		return nil, err
	}
	return c.cfg.Store.At(revision)
}

// remaining says that a list goes on after its page; count is nil when it is not known, because of a selector.
type remaining struct{ count *int64 }

// collect gathers up to limit selected records (0 or less: all of them). rest is nil at the end of the list.
func (o *listOptions) collect(from page, limit int) (recs []*store.Record, rest *remaining) {
	resource := o.kind.Resource()
	all := from.snapshot.List(resource, o.namespace)
	if from.after != nil {
		all = from.snapshot.ListFrom(resource, o.namespace, *from.after)
	}
	behind := int64(0)
	for rec := range all {
		if !o.selects(rec) {
			continue
		}
		if limit <= 0 || len(recs) < limit {
			recs = append(recs, rec)
			continue
		}
		if o.labels != nil || o.fields != nil {
			return recs, &remaining{}
		}
		behind++
	}
	if behind == 0 {
		return recs, nil
	}
	return recs, &remaining{count: &behind}
}

// respondList answers with a list in the view that was asked for.
func (c *call) respondList(code int, objs []kind.Object, list metav1.ListMeta) error {
	f, err := c.format(true)
	if err != nil {
		return err
	}
	c.sendWarnings()
	switch f.As {
	case "Table":
		write(c.w, c.r, code, f.Media, view.Table(c.kind, objs, list, c.includeObject(), c.now))
	case "PartialObjectMetadataList":
		write(c.w, c.r, code, f.Media, view.PartialList(objs, list))
	default:
		return c.respondTypedList(code, f, objs, list)
	}
	return nil
}

func (c *call) respondTypedList(code int, f wire.Format, objs []kind.Object, list metav1.ListMeta) error {
	out := c.kind.NewList()
	out.GetObjectKind().SetGroupVersionKind(c.kind.List())
	items := make([]runtime.Object, len(objs))
	for i, obj := range objs {
		items[i] = obj
	}
	if err := meta.SetList(out, items); err != nil {
		return fmt.Errorf("build a list of %s: %w", c.kind.Plural, err)
	}
	// SetList has copied the structs: clearing the kind of the copies, which say it once for all, leaves the store's alone.
	if err := meta.EachListItem(out, func(item runtime.Object) error {
		item.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
		return nil
	}); err != nil {
		return err
	}
	accessor, err := meta.ListAccessor(out)
	if err != nil {
		return err
	}
	accessor.SetResourceVersion(list.ResourceVersion)
	accessor.SetContinue(list.Continue)
	accessor.SetRemainingItemCount(list.RemainingItemCount)
	write(c.w, c.r, code, f.Media, out)
	return nil
}
