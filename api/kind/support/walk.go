package support

import (
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// walk calls visit for each field of obj that is set and about which its rule has something to say.
func walk(obj any, visit func(path *field.Path, r Rule)) {
	v := reflect.ValueOf(obj).Elem()
	if steps, ok := plans()[v.Type()]; ok {
		walker{visit: visit}.enter(v, steps, nil)
	}
}

// step is what there is to do with one field of a struct: to go on into it, or to look at its rule. Fields that lead to no rule
// but Acted have none, which are nearly all.
type step struct {
	index    int
	name     string // in JSON; "" for embedded structs, whose fields are the owner's there
	rule     Rule
	embedded []step // of an embedded struct
	below    []step // of the struct, or of each of the structs, in a field that is acted on
}

// plans are the steps of each type that has a table. They are made once, for objects are walked at every write.
var plans = sync.OnceValue(func() map[reflect.Type][]step {
	all := map[reflect.Type][]step{}
	for typ := range Tables() {
		plan(typ, all)
	}
	return all
})

func plan(typ reflect.Type, all map[reflect.Type][]step) []step {
	if steps, done := all[typ]; done {
		return steps
	}
	table, ok := Tables()[typ]
	if !ok {
		return nil
	}
	var steps []step
	for i := range typ.NumField() {
		f := typ.Field(i)
		s := step{index: i, name: Name(f)}
		s.rule = table[s.name]
		switch {
		case s.name == "":
			s.embedded = plan(f.Type, all)
		case s.rule.Level == Acted:
			s.below = plan(structIn(f.Type), all)
		}
		if s.rule.Level != Acted || len(s.embedded) > 0 || len(s.below) > 0 {
			steps = append(steps, s)
		}
	}
	all[typ] = steps
	return steps
}

// structIn is what pointers and lists of a type come down to.
func structIn(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	return typ
}

type walker struct {
	visit func(path *field.Path, r Rule)
}

// enter goes through the fields of a struct.
func (w walker) enter(v reflect.Value, steps []step, path *field.Path) {
	for i := range steps {
		s := &steps[i]
		f := v.Field(s.index)
		switch {
		case s.embedded != nil:
			w.enter(f, s.embedded, path)
		case f.IsZero():
		case s.below != nil:
			w.value(f, s.below, path.Child(s.name))
		case s.rule.fine == nil || !s.rule.fine(setting{value: reflect.Indirect(f).Interface(), owner: v.Interface()}):
			w.visit(path.Child(s.name), s.rule)
		}
	}
}

// value goes on into structs, and lists of them.
func (w walker) value(v reflect.Value, steps []step, path *field.Path) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			w.value(v.Elem(), steps, path)
		}
	case reflect.Struct:
		w.enter(v, steps, path)
	case reflect.Slice:
		for i := range v.Len() {
			w.value(v.Index(i), steps, path.Index(i))
		}
	}
}

// Name is a struct field's name in JSON; "" for embedded structs.
func Name(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
