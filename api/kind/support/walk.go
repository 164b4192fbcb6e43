package support

import (
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// walk calls visit for each field of obj that is set and about which its rule has something to say.
func walk(obj any, visit func(path *field.Path, r Rule)) {
	w := walker{visit: visit}
	w.enter(reflect.ValueOf(obj).Elem(), nil)
}

type walker struct {
	visit func(path *field.Path, r Rule)
}

// enter goes through the fields of a struct that has a table.
func (w walker) enter(v reflect.Value, path *field.Path) {
	table, ok := Tables()[v.Type()]
	if !ok {
		return
	}
	for i := range v.NumField() {
		f, name := v.Field(i), Name(v.Type().Field(i))
		switch rule := table[name]; {
		case name == "":
			w.enter(f, path) // embedded: its fields are the owner's in JSON
		case f.IsZero():
		case rule.Level == Acted:
			w.value(f, path.Child(name))
		case rule.fine == nil || !rule.fine(setting{value: reflect.Indirect(f).Interface(), owner: v.Interface()}):
			w.visit(path.Child(name), rule)
		}
	}
}

// value goes on into structs, and lists of them.
func (w walker) value(v reflect.Value, path *field.Path) {
	switch v.Kind() {
	case reflect.Pointer:
		w.value(v.Elem(), path)
	case reflect.Struct:
		w.enter(v, path)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		for i := range v.Len() {
			w.enter(v.Index(i), path.Index(i))
		}
	}
}

// Name is a struct field's name in JSON; "" for embedded structs.
func Name(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
