package managed

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/openapi"
)

// TestUpdateAsFieldManager has many write objects of all kinds at random, and compares who owns what with what FieldManager says.
func TestUpdateAsFieldManager(t *testing.T) {
	converter, err := openapi.TypeConverter()
	if err != nil {
		t.Fatal(err)
	}
	quick, all, created, objects := 0, 0, 0, 0
	for _, k := range kind.All() {
		for seed := range uint64(4) {
			history := &history{T: t, kind: k, random: rand.New(rand.NewPCG(seed, 1)), managers: map[string]*Manager{}}
			for _, subresource := range []string{"", "status"} {
				m, err := newManager(k, subresource, converter)
				if err != nil {
					t.Fatal(err)
				}
				history.managers[subresource] = m
			}
			history.create()
			for range 25 {
				history.step()
			}
			quick, all, created, objects = quick+history.quick, all+history.all, created+history.created, objects+1
		}
	}
	if quick < all*3/4 {
		t.Errorf("%d of %d updates were made the quick way, want most", quick, all)
	}
	// At random, many have the same thing twice in a list.
	if created < objects/4 {
		t.Errorf("%d of %d creations were made the quickest way", created, objects)
	}
}

// history is that of one object.
type history struct {
	*testing.T
	kind       *kind.Kind
	random     *rand.Rand
	managers   map[string]*Manager
	live       kind.Object
	quick, all int
	created    int // whether the quickest way was found for its creation
}

func (h *history) create() {
	obj := Empty(h.kind)
	h.fill(reflect.ValueOf(obj).Elem(), 0)
	if _, ok := h.managers[""].tracker.fieldsOf(obj); ok {
		h.created++
	}
	h.own(Empty(h.kind), obj, "", "creator")
	h.live = obj
	h.live.SetUID("1")
}

func (h *history) step() {
	wanted := h.live.DeepCopyObject().(kind.Object)
	switch h.random.IntN(8) {
	case 0:
		h.apply()
		return
	case 1:
		wanted.SetManagedFields(nil)
	case 2:
		wanted.SetManagedFields([]metav1.ManagedFieldsEntry{})
	}
	for range h.random.IntN(4) {
		h.mutate(reflect.ValueOf(wanted).Elem())
	}
	subresource := []string{"", "status"}[h.random.IntN(2)]
	if h.own(h.live, wanted, subresource, []string{"creator", "a", "b"}[h.random.IntN(3)]) {
		h.live = wanted
	}
}

// own gives wanted its entries, and reports whether FieldManager can make any of it.
func (h *history) own(live, wanted kind.Object, subresource, manager string) bool {
	m := h.managers[subresource]
	theirs := wanted.DeepCopyObject().(kind.Object)
	if _, err := m.fields.Update(live.DeepCopyObject(), theirs, manager); err != nil {
		return false
	}
	h.all++
	if got, ok := m.tracker.update(live, wanted, manager); ok {
		h.quick++
		h.expect(got, theirs.GetManagedFields(), live, wanted)
	}
	wanted.SetManagedFields(theirs.GetManagedFields())
	return true
}

func (h *history) expect(got, want []metav1.ManagedFieldsEntry, live, wanted kind.Object) {
	h.Helper()
	if a, b := entryLines(got, live), entryLines(want, live); !slices.Equal(a, b) {
		h.Fatalf("%s:\n%q\nwant\n%q\nfrom %+v\nto %+v", h.kind.GVK, a, b, live, wanted)
	}
	if !slices.IsSortedFunc(got, order) {
		h.Fatalf("not in order: %v", got)
	}
}

// entryLines is what there is to compare of entries. Of the time that is whether it is that of before.
func entryLines(entries []metav1.ManagedFieldsEntry, live kind.Object) []string {
	var out []string
	for _, e := range entries {
		old := slices.ContainsFunc(live.GetManagedFields(), func(b metav1.ManagedFieldsEntry) bool {
			return b.Manager == e.Manager && b.Operation == e.Operation && b.Subresource == e.Subresource && b.Time.Equal(e.Time)
		})
		out = append(out, fmt.Sprint(e.Manager, e.Operation, e.APIVersion, e.Subresource, e.FieldsType, e.FieldsV1, old))
	}
	slices.Sort(out)
	return out
}

// apply has a label and an annotation applied, which others may own.
func (h *history) apply() {
	applied := &unstructured.Unstructured{}
	applied.SetGroupVersionKind(h.kind.GVK)
	applied.SetLabels(map[string]string{h.word(): h.word()})
	applied.SetAnnotations(map[string]string{h.word(): h.word()})
	if out, err := h.managers[""].Apply(h.live, applied, "applier", true); err == nil {
		h.live = out
	}
}

func (h *history) word() string { return string(rune('a' + h.random.IntN(6))) }

// mutate changes something somewhere in v.
func (h *history) mutate(v reflect.Value) {
	if h.random.IntN(6) == 0 && v.CanSet() && !v.Type().AssignableTo(reflect.TypeFor[metav1.ObjectMeta]()) {
		h.fill(v, 0)
		return
	}
	if v.CanSet() && h.special(v) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if i := h.random.IntN(v.NumField()); h.open(v.Type().Field(i)) {
			h.mutate(v.Field(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			h.mutate(v.Elem())
		}
	case reflect.Slice:
		if v.Len() > 0 {
			h.mutate(v.Index(h.random.IntN(v.Len())))
		}
	default:
		h.fill(v, 0)
	}
}

// open says that a field is one to write to.
func (h *history) open(f reflect.StructField) bool {
	return f.IsExported() && f.Name != "TypeMeta" && f.Name != "ManagedFields" && f.Name != "UID" &&
		f.Type != reflect.TypeFor[runtime.RawExtension]()
}

// fill sets v and what is in it at random.
func (h *history) fill(v reflect.Value, depth int) {
	if h.special(v) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); h.open(f) && (f.Anonymous || h.random.IntN(1+depth) == 0) {
				h.fill(v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		h.fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), h.random.IntN(3), 3))
		for i := range v.Len() {
			h.fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range h.random.IntN(3) {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			h.fill(key, depth+1)
			h.fill(elem, depth+1)
			v.SetMapIndex(key, elem)
		}
	case reflect.String:
		v.SetString(h.word())
	case reflect.Bool:
		v.SetBool(h.random.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(uint64(h.random.IntN(256)))
	default:
		v.SetInt(int64(h.random.IntN(5)))
	}
}

func (h *history) special(v reflect.Value) bool {
	switch v.Addr().Interface().(type) {
	case *metav1.Time:
		v.Set(reflect.ValueOf(metav1.Unix(int64(h.random.IntN(5)), 0)))
	case *metav1.MicroTime:
		v.Set(reflect.ValueOf(metav1.NewMicroTime(time.Unix(int64(h.random.IntN(5)), 0))))
	case *resource.Quantity:
		v.Set(reflect.ValueOf(resource.MustParse(fmt.Sprint(h.random.IntN(5)))))
	case *intstr.IntOrString:
		v.Set(reflect.ValueOf(intstr.Parse([]string{"1", "2", "a", "b"}[h.random.IntN(4)])))
	case *types.UID, *metav1.TypeMeta, *runtime.RawExtension:
	default:
		return false
	}
	return true
}

// TestPodIsMadeTheQuickestWay has a pod as people write them be none of what is rare.
func TestPodIsMadeTheQuickestWay(t *testing.T) {
	converter, err := openapi.TypeConverter()
	if err != nil {
		t.Fatal(err)
	}
	m, err := newManager(kind.Find("", "v1", "pods"), "", converter)
	if err != nil {
		t.Fatal(err)
	}
	if raw, ok := m.tracker.fieldsOf(examplePod()); !ok {
		t.Errorf("%q", raw)
	}
}

// TestUnchanged asks of the JSON of an entry what there is to know of it without decoding it.
func TestUnchanged(t *testing.T) {
	raw := `{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"b\\\"}\"}":{".":{},"f:image":{}}},"f:set":{"v:\"}\"":{}}}}`
	for _, c := range []struct {
		written, gains []any
		want           bool
	}{
		{path("metadata", "labels", "a"), path("metadata", "labels", "a"), true},
		{path("metadata", "labels"), path("metadata", "labels"), true},
		{path("metadata", "labels", "a"), nil, false},
		{path("metadata", "labels", "b"), nil, true},
		{path("metadata", "labels", "b"), path("metadata", "labels", "b"), false},
		{path("metadata"), nil, true},
		{path("spec", "containers", item("name", `b"}`), "image"), nil, false},
		{path("spec", "containers", item("name", `b"}`)), nil, false},
		{path("spec", "containers", item("name", `c`)), nil, true},
	} {
		if got := unchanged([]byte(raw), set(c.written), set(c.gains)); got != c.want {
			t.Errorf("%v written, %v gained: %v, want %v", c.written, c.gains, got, c.want)
		}
	}
	for n := range len(raw) {
		unchanged([]byte(raw[:n]), set(path("spec", "set", "a")), set(nil)) // it is not whole, and must not panic
	}
}

func path(parts ...any) []any { return parts }

func item(name, text string) value.FieldList {
	return value.FieldList{{Name: name, Value: value.NewValueInterface(text)}}
}

func set(parts []any) *fieldpath.Set {
	if len(parts) == 0 {
		return fieldpath.NewSet()
	}
	for i, p := range parts {
		if fields, ok := p.(value.FieldList); ok {
			parts[i] = &fields
		}
	}
	return fieldpath.NewSet(fieldpath.MakePathOrDie(parts...))
}
