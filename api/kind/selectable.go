package kind

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/fields"
)

// selectable sets the fields that selectors may name: the metadata's, and those that more gives, which may be nil.
func selectable[T Object](k *Kind, more func(T) fields.Set) {
	k.Fields = func(obj Object) fields.Set {
		set := fields.Set{"metadata.name": obj.GetName()}
		if k.Namespaced {
			set["metadata.namespace"] = obj.GetNamespace()
		}
		if more != nil {
			maps.Copy(set, more(obj.(T)))
		}
		return set
	}
	// The keys are the same for every object, an empty one included.
	k.FieldNames = slices.Sorted(maps.Keys(k.Fields(k.New())))
}
