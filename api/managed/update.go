package managed

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"covey.dev/covey/api/kind"
)

// tracker finds out what managedfields' FieldManager.Update would, with less work: parts that are the same in both objects are not
// compared field by field, objects of Go's own types are not held against the schema they come from, and an entry that a write
// does not change is neither decoded nor encoded. Where there is more to it than that, it leaves the work to FieldManager.
type tracker struct {
	version     string // of the kind
	subresource string
	left        string           // the part of an object that writes leave alone; "" for none
	reset       fieldpath.Filter // that leaves it out; nil for none
	empty       *typed.TypedValue
}

// most is how many entries of updates there may be before FieldManager would put the oldest together.
const most = 10

// notTracked are the fields that nobody owns, and ownedByNone those of them that are in the metadata.
var (
	ownedByNone = []string{
		"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion",
	}
	notTracked = func() *fieldpath.Set {
		set := fieldpath.NewSet(
			fieldpath.MakePathOrDie("apiVersion"), fieldpath.MakePathOrDie("kind"), fieldpath.MakePathOrDie("metadata"),
		)
		for _, name := range ownedByNone {
			set.Insert(fieldpath.MakePathOrDie("metadata", name))
		}
		return set
	}()
)

// update returns the entries of wanted, or false.
func (t *tracker) update(live, wanted kind.Object, manager string) ([]metav1.ManagedFieldsEntry, bool) {
	before := live.GetManagedFields()
	if !t.simple(before) || t.subresource == "" && !keeps(wanted.GetManagedFields(), before) {
		return nil, false
	}
	if len(before) == 0 && live.GetUID() != "" {
		return nil, true // they are not tracked
	}
	if len(before) == 0 {
		if raw, ok := t.fieldsOf(wanted); ok {
			e := t.entry(manager)
			e.FieldsType, e.FieldsV1 = "FieldsV1", &metav1.FieldsV1{}
			e.FieldsV1.SetRawBytes(raw)
			return []metav1.ManagedFieldsEntry{e}, true
		}
	}
	c, err := t.compare(live, wanted)
	if err != nil {
		return nil, false
	}
	return t.entries(before, c, manager)
}

// simple says that nothing of what is rare is among the entries: other versions of the kind, or more than are kept.
func (t *tracker) simple(entries []metav1.ManagedFieldsEntry) bool {
	updates := 0
	for i := range entries {
		e := &entries[i]
		if e.APIVersion != t.version || e.FieldsType != "FieldsV1" || e.FieldsV1 == nil {
			return false
		}
		if e.Operation == metav1.ManagedFieldsOperationUpdate {
			updates++
		}
	}
	return updates < most
}

// keeps says that a client has sent the entries as they were, or none.
func keeps(sent, before []metav1.ManagedFieldsEntry) bool {
	return sent == nil || len(sent) > 0 && slices.EqualFunc(sent, before, func(a, b metav1.ManagedFieldsEntry) bool {
		return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource &&
			a.FieldsType == b.FieldsType && a.FieldsV1 != nil && a.FieldsV1.Equal(*b.FieldsV1) && a.Time.Equal(b.Time)
	})
}

// compare compares the objects but for what is the same in both, and for the entries themselves.
func (t *tracker) compare(live, wanted kind.Object) (*typed.Comparison, error) {
	a, b := reflect.New(reflect.TypeOf(live).Elem()), reflect.New(reflect.TypeOf(wanted).Elem())
	a.Elem().Set(reflect.ValueOf(live).Elem())
	b.Elem().Set(reflect.ValueOf(wanted).Elem())
	for i := range a.Elem().NumField() {
		x, y := a.Elem().Field(i), b.Elem().Field(i)
		if x.Addr().Type() != metadata && reflect.DeepEqual(x.Addr().Interface(), y.Addr().Interface()) {
			x.SetZero()
			y.SetZero()
		}
	}
	a.Interface().(kind.Object).SetManagedFields(nil)
	b.Interface().(kind.Object).SetManagedFields(nil)
	from, err := t.typed(a.Interface())
	if err != nil {
		return nil, err
	}
	to, err := t.typed(b.Interface())
	if err != nil {
		return nil, err
	}
	c, err := from.Compare(to)
	if err != nil {
		return nil, err
	}
	return c.FilterFields(t.reset), nil
}

var metadata = reflect.TypeFor[*metav1.ObjectMeta]()

func (t *tracker) typed(obj any) (*typed.TypedValue, error) {
	v, err := value.NewValueReflect(obj)
	if err != nil {
		return nil, err
	}
	//nolint:staticcheck // Deprecated for being of no more use, but to look for what a Go type cannot hold takes a third of the time.
	return typed.AsTypedUnvalidated(v, t.empty.Schema(), t.empty.TypeRef()), nil
}

// entries takes the fields that were written from all that had them, and gives them to manager.
func (t *tracker) entries(before []metav1.ManagedFieldsEntry, c *typed.Comparison, manager string) ([]metav1.ManagedFieldsEntry, bool) {
	written := c.Modified.Union(c.Added)
	taken := written.Difference(notTracked)
	after := make([]metav1.ManagedFieldsEntry, 0, len(before)+1)
	given := taken.Empty()
	for _, e := range before {
		own := t.owned(&e, manager)
		gains := fieldpath.NewSet()
		if own {
			gains = taken
		}
		left, err := t.change(&e, written, c.Removed, gains)
		if err != nil {
			return nil, false
		}
		if own && !taken.Empty() {
			e.Time, given = now(), true
		}
		if left {
			after = append(after, e)
		}
	}
	if !given {
		e := t.entry(manager)
		if err := encode(&e, taken); err != nil {
			return nil, false
		}
		after = append(after, e)
	}
	slices.SortStableFunc(after, order)
	if len(after) == 0 {
		return nil, true
	}
	return after, true
}

func now() *metav1.Time { return &metav1.Time{Time: time.Now().UTC()} }

// entry is that of a manager who has nothing yet.
func (t *tracker) entry(manager string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: t.version, Subresource: t.subresource, Time: now(),
	}
}

func (t *tracker) owned(e *metav1.ManagedFieldsEntry, manager string) bool {
	return e.Manager == manager && e.Operation == metav1.ManagedFieldsOperationUpdate && e.Subresource == t.subresource
}

// change brings an entry up to date, and says whether it still has fields.
func (t *tracker) change(e *metav1.ManagedFieldsEntry, written, removed, gains *fieldpath.Set) (left bool, err error) {
	if removed.Empty() && unchanged(e.FieldsV1.GetRawBytes(), written, gains) {
		return true, nil
	}
	had := fieldpath.NewSet()
	if err := had.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
		return false, err
	}
	// The schema may have been another one when the entry was made.
	if newer, err := typed.ReconcileFieldSetWithSchema(had, t.empty); err != nil {
		return false, err
	} else if newer != nil {
		had = newer
	}
	has := had.Difference(had.Intersection(written)).Difference(removed).Union(gains)
	return !has.Empty(), encode(e, has)
}

func encode(e *metav1.ManagedFieldsEntry, set *fieldpath.Set) error {
	raw, err := set.ToJSON()
	if err != nil {
		return err
	}
	e.FieldsType, e.FieldsV1 = "FieldsV1", &metav1.FieldsV1{}
	e.FieldsV1.SetRawBytes(raw)
	return nil
}

// order is the one of FieldManager.
func order(a, b metav1.ManagedFieldsEntry) int {
	return cmp.Or(
		cmp.Compare(a.Operation, b.Operation), cmp.Compare(seconds(a.Time), seconds(b.Time)),
		cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.Subresource, b.Subresource),
	)
}

func seconds(t *metav1.Time) int64 {
	if t == nil {
		return 0
	}
	return t.Unix()
}
