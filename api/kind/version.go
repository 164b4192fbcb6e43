package kind

import (
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Stored says how objects of one version of a kind are stored as another.
type Stored struct {
	As *Kind
	// read and write convert copies: from the stored version to this one, and back. Nothing is lost on the way and back.
	read, write func(Object) Object
	check       func(Object) error
}

// Read is a stored object in the kind's version. It may be the stored object itself, which is shared.
func (k *Kind) Read(stored Object) Object {
	if k.Stored == nil {
		return stored
	}
	return k.Stored.read(stored)
}

// CanWrite says why an object cannot be stored: what is in it that only another version has a field for is not right.
func (k *Kind) CanWrite(obj Object) error {
	if k.Stored == nil {
		return nil
	}
	return k.Stored.check(obj)
}

// Write is an object as it is to be stored, which CanWrite has looked at.
func (k *Kind) Write(obj Object) Object {
	if k.Stored == nil {
		return obj
	}
	return k.Stored.write(obj)
}

// version is another version of a kind, which does all that the stored one does, by way of it. H is Kubernetes' internal type, which
// all versions convert to and from.
func version[T, L, H any, P interface {
	*T
	Object
}, Q interface {
	*L
	runtime.Object
}, I interface {
	*H
	runtime.Object
}](as *Kind, gvk schema.GroupVersionKind) *Kind {
	k := base[T, L, P, Q](gvk, as.Plural, as.Singular, as.ShortNames...)
	k.Stored = &Stored{
		As:    as,
		read:  func(obj Object) Object { return must(converted(obj, I(new(H)), P(new(T)), gvk)) },
		write: func(obj Object) Object { return must(converted(obj, I(new(H)), as.New(), as.GVK)) },
		check: func(obj Object) error {
			_, err := converted(obj, I(new(H)), as.New(), as.GVK)
			return err
		},
	}
	k.Categories, k.Namespaced, k.NeedsVersion, k.HasStatus = as.Categories, as.Namespaced, as.NeedsVersion, as.HasStatus
	if prepare := as.PrepareCreate; prepare != nil {
		k.PrepareCreate = func(obj Object, now time.Time) {
			stored := k.Write(obj)
			prepare(stored, now)
			k.assign(obj, stored)
		}
	}
	k.PrepareUpdate, k.PrepareStatus = k.preparing(as.PrepareUpdate), k.preparing(as.PrepareStatus)
	k.Validate = func(obj Object) field.ErrorList { return as.Validate(k.Write(obj)) }
	k.ValidateUpdate, k.ValidateStatus = k.validating(as.ValidateUpdate), k.validating(as.ValidateStatus)
	k.FieldNames, k.Columns = as.FieldNames, as.Columns
	if as.Fields != nil {
		k.Fields = func(obj Object) fields.Set { return as.Fields(k.Write(obj)) }
	}
	k.Row = func(obj Object, now time.Time) []any { return as.Row(k.Write(obj), now) }
	return k
}

// assign gives obj the content of a stored object.
func (k *Kind) assign(obj, stored Object) {
	reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(k.Read(stored)).Elem())
}

func (k *Kind) preparing(prepare func(obj, old Object)) func(obj, old Object) {
	if prepare == nil {
		return nil
	}
	return func(obj, old Object) {
		stored := k.Write(obj)
		prepare(stored, k.Write(old))
		k.assign(obj, stored)
	}
}

func (k *Kind) validating(validate func(obj, old Object) field.ErrorList) func(obj, old Object) field.ErrorList {
	if validate == nil {
		return nil
	}
	return func(obj, old Object) field.ErrorList { return validate(k.Write(obj), k.Write(old)) }
}

// converted is a copy of obj in another version.
func converted(obj Object, hub runtime.Object, to Object, gvk schema.GroupVersionKind) (Object, error) {
	if err := internal().Convert(obj.DeepCopyObject(), hub, nil); err != nil {
		return nil, err
	}
	if err := internal().Convert(hub, to, nil); err != nil {
		return nil, err
	}
	to.GetObjectKind().SetGroupVersionKind(gvk)
	return to, nil
}

// must is for objects that were stored, or looked at before.
func must(obj Object, err error) Object {
	if err != nil {
		panic(fmt.Sprintf("convert between versions: %v", err))
	}
	return obj
}
