package managed

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// listItem is an element of a list whose elements are known by keys, or by their value.
type listItem struct {
	keys  []itemKey
	value reflect.Value
}

type itemKey struct {
	name   string
	text   string
	number int64
	isText bool
}

func (a listItem) compare(b listItem) int {
	return slices.CompareFunc(a.keys, b.keys, func(a, b itemKey) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.text, b.text), cmp.Compare(a.number, b.number))
	})
}

// items writes those of a list.
func (w *creation) items(v reflect.Value, list *schema.List, isNew bool) bool {
	all := make([]listItem, v.Len())
	for i := range all {
		all[i].value = v.Index(i)
		if len(list.Keys) == 0 {
			all[i].keys = []itemKey{w.key("", v.Index(i))}
		} else {
			all[i].keys = w.itemKeys(v.Index(i), list)
		}
	}
	slices.SortFunc(all, listItem.compare)
	at := w.begin(isNew)
	for i, item := range all {
		if w.wrong || i > 0 && all[i-1].compare(item) == 0 {
			w.wrong = true // what there is twice is owned in another way
			return false
		}
		before := len(w.out)
		w.out = append(w.out, '"')
		w.itemName(item, len(list.Keys) == 0)
		w.out = append(w.out, `":`...)
		if w.node(item.value, list.ElementType, true) {
			w.out = append(w.out, ',')
		} else {
			w.out = w.out[:before]
		}
	}
	return w.end(at)
}

// itemKeys are those of an element, in the order of their names.
func (w *creation) itemKeys(v reflect.Value, list *schema.List) []itemKey {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	atom, ok := w.schema.Resolve(list.ElementType)
	if !ok || atom.Map == nil || v.Kind() != reflect.Struct {
		w.wrong = true
		return nil
	}
	fields := value.TypeReflectEntryOf(v.Type()).Fields()
	keys := make([]itemKey, 0, len(list.Keys))
	for _, name := range list.Keys {
		f := fields[name]
		if f == nil {
			w.wrong = true
			return nil
		}
		if field := f.GetFrom(v); !f.CanOmit(field) {
			keys = append(keys, w.key(name, field))
			continue
		}
		known, _ := atom.Map.FindField(name)
		text, isText := known.Default.(string)
		w.wrong = w.wrong || !isText
		keys = append(keys, itemKey{name: name, text: text, isText: true})
	}
	slices.SortFunc(keys, func(a, b itemKey) int { return cmp.Compare(a.name, b.name) })
	return keys
}

func (w *creation) key(name string, v reflect.Value) itemKey {
	switch {
	case value.TypeReflectEntryOf(v.Type()).CanConvertToUnstructured():
	case v.Kind() == reflect.String:
		return itemKey{name: name, text: v.String(), isText: true}
	case v.CanInt():
		return itemKey{name: name, number: v.Int()}
	}
	w.wrong = true
	return itemKey{}
}

// itemName writes k:{"name":"web"} or v:"web", as it is quoted in JSON.
func (w *creation) itemName(item listItem, isSet bool) {
	if isSet {
		w.out = append(w.out, "v:"...)
		w.keyValue(item.keys[0])
		return
	}
	w.out = append(w.out, "k:{"...)
	for i, key := range item.keys {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, `\"`...)
		w.text(key.name)
		w.out = append(w.out, `\":`...)
		w.keyValue(key)
	}
	w.out = append(w.out, '}')
}

func (w *creation) keyValue(key itemKey) {
	if !key.isText {
		w.out = strconv.AppendInt(w.out, key.number, 10)
		return
	}
	w.out = append(w.out, `\"`...)
	w.text(key.text)
	w.out = append(w.out, `\"`...)
}
