package managed

import (
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// creation writes the fields of a new object in the JSON of an entry: what comparing it with an empty object would find, in one
// pass over it. What is rare is left to that: wrong is set then.
type creation struct {
	schema *schema.Schema
	out    []byte
	wrong  bool
}

// fieldsOf returns the JSON of what a manager owns who has made obj; false where it does not know.
func (t *tracker) fieldsOf(obj any) (raw []byte, ok bool) {
	w := &creation{schema: t.empty.Schema(), out: make([]byte, 0, 2<<10)}
	atom, ok := w.schema.Resolve(t.empty.TypeRef())
	if !ok || atom.Map == nil {
		return nil, false
	}
	w.fields(reflect.ValueOf(obj).Elem(), atom.Map, false, false, func(name string) bool {
		return name != "apiVersion" && name != "kind" && name != t.left
	})
	return w.out, !w.wrong && len(w.out) > len("{}")
}

// plain are the types that write themselves as one text or number.
var plain = map[reflect.Type]bool{
	reflect.TypeFor[metav1.Time](): true, reflect.TypeFor[metav1.MicroTime](): true,
	reflect.TypeFor[resource.Quantity](): true, reflect.TypeFor[intstr.IntOrString](): true,
}

// leaf says that there is nothing below a value: it is one text or number, nothing, or taken as a whole.
func (w *creation) leaf(v reflect.Value, atom schema.Atom) bool {
	switch {
	case plain[v.Type()]:
		return true
	case v.Kind() == reflect.Interface, value.TypeReflectEntryOf(v.Type()).CanConvertToUnstructured():
		w.wrong = true
		return true
	}
	switch v.Kind() {
	case reflect.Struct:
		return atom.Map == nil || atom.Map.ElementRelationship == schema.Atomic
	case reflect.Map:
		return v.Len() == 0 || atom.Map == nil || atom.Map.ElementRelationship == schema.Atomic
	case reflect.Slice:
		return v.Len() == 0 || v.Type().Elem().Kind() == reflect.Uint8 || atom.List == nil || atom.List.ElementRelationship != schema.Associative
	case reflect.Pointer:
		return true // it is nil
	}
	return true
}

// node writes what is owned of a value, and reports whether that is anything. New is what an empty object has no value for at all: it is
// owned as a whole too. Otherwise that has the type's zero value.
func (w *creation) node(v reflect.Value, ref schema.TypeRef, isNew bool) bool {
	atom, ok := w.schema.Resolve(ref)
	if !ok {
		w.wrong = true
		return false
	}
	pointed := v.Kind() == reflect.Pointer && !v.IsNil() // an empty object has null there
	if pointed {
		v = v.Elem()
	}
	if w.leaf(v, atom) {
		if !isNew && !pointed && w.zero(v) {
			return false
		}
		w.out = append(w.out, "{}"...)
		return true
	}
	switch v.Kind() {
	case reflect.Struct:
		owned := w.fields(v, atom.Map, isNew, isNew || pointed, nil)
		if !owned && pointed {
			w.out = append(w.out, "{}"...)
		}
		return owned || pointed
	case reflect.Map:
		return w.keys(v, atom.Map, isNew)
	}
	return w.items(v, atom.List, isNew)
}

// zero says that a leaf is what an empty object has there.
func (w *creation) zero(v reflect.Value) bool {
	if v.IsZero() || v.Kind() != reflect.Struct || plain[v.Type()] {
		return v.IsZero()
	}
	w.wrong = true // it depends on what is in it
	return false
}

// begin opens an object, and end closes it, or takes it back where it is empty.
func (w *creation) begin(isNew bool) (at int) {
	at = len(w.out)
	w.out = append(w.out, '{')
	if isNew {
		w.out = append(w.out, itself...)
	}
	return at
}

// itself is among the fields of what is owned too.
const itself = `".":{},`

func (w *creation) end(at int) bool {
	switch string(w.out[at+1:]) {
	case "":
		w.out = w.out[:at]
		return false
	case itself: // and nothing below it
		w.out = append(w.out[:at], "{}"...)
		return true
	}
	w.out[len(w.out)-1] = '}' // in the place of the last comma
	return true
}

// child writes a name and what is below it, or neither.
func (w *creation) child(prefix, name string, v reflect.Value, ref schema.TypeRef, isNew bool) {
	at := len(w.out)
	w.out = append(w.out, '"')
	w.out = append(w.out, prefix...)
	w.text(name)
	w.out = append(w.out, `":`...)
	if w.node(v, ref, isNew) {
		w.out = append(w.out, ',')
	} else {
		w.out = w.out[:at]
	}
}

// text writes what stands for itself in JSON.
func (w *creation) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			w.wrong = true
			return
		}
	}
	w.out = append(w.out, s...)
}

// fields writes those of a struct that keep lets through; nil for all. IsNew is about the struct itself, and below about its fields.
func (w *creation) fields(v reflect.Value, m *schema.Map, isNew, below bool, keep func(name string) bool) bool {
	at := w.begin(isNew)
	empty := reflect.Zero(v.Type())
	for _, f := range value.TypeReflectEntryOf(v.Type()).OrderedFields() {
		field := f.GetFrom(v)
		if keep != nil && !keep(f.JsonName) || f.CanOmit(field) {
			continue
		}
		ref := m.ElementType
		if known, ok := m.FindField(f.JsonName); ok {
			ref = known.Type
		}
		missing := below || f.CanOmit(f.GetFrom(empty))
		if field.Type() == metadata.Elem() && keep != nil { // the object's own
			w.metadata(field, ref)
			continue
		}
		w.child("f:", f.JsonName, field, ref, missing)
	}
	return w.end(at)
}

// metadata writes those of an object's that somebody may own.
func (w *creation) metadata(v reflect.Value, ref schema.TypeRef) {
	atom, ok := w.schema.Resolve(ref)
	if !ok || atom.Map == nil {
		w.wrong = true
		return
	}
	at := len(w.out)
	w.out = append(w.out, `"f:metadata":`...)
	owned := w.fields(v, atom.Map, false, false, func(name string) bool { return !slices.Contains(ownedByNone, name) })
	if owned {
		w.out = append(w.out, ',')
	} else {
		w.out = w.out[:at]
	}
}

// keys writes those of a map.
func (w *creation) keys(v reflect.Value, m *schema.Map, isNew bool) bool {
	names := make([]string, 0, v.Len())
	for _, key := range v.MapKeys() {
		names = append(names, key.String())
	}
	slices.Sort(names)
	at := w.begin(isNew)
	for _, name := range names {
		ref := m.ElementType
		if known, ok := m.FindField(name); ok {
			ref = known.Type
		}
		w.child("f:", name, v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key())), ref, true)
	}
	return w.end(at)
}
