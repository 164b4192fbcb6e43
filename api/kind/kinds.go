package kind

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// All are the kinds that covey serves, in the order in which discovery names them. They are shared: callers must not
// change them.
func All() []*Kind { return slices.Clone(kinds()) }

// Find is the kind served under a group ("" for core), version and resource ("pods"); nil when there is none.
func Find(group, version, resource string) *Kind {
	want := schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	for _, k := range kinds() {
		if k.GVR() == want {
			return k
		}
	}
	return nil
}

var kinds = sync.OnceValue(func() []*Kind {
	events, autoscalers := eventKind(), horizontalPodAutoscalerKind()
	return []*Kind{
		configMapKind(), events, eventV1Kind(events), namespaceKind(), nodeKind(), podKind(), secretKind(), serviceKind(), serviceAccountKind(),
		deploymentKind(), replicaSetKind(), autoscalers, horizontalPodAutoscalerV1Kind(autoscalers), leaseKind(), endpointSliceKind(), podDisruptionBudgetKind(), priorityClassKind(),
	}
})

// base is what all kinds have in common: T and L are the object's and its list's types.
func base[T, L any, P interface {
	*T
	Object
}, Q interface {
	*L
	runtime.Object
}](gvk schema.GroupVersionKind, plural, singular string, shortNames ...string) *Kind {
	return &Kind{
		GVK: gvk, Plural: plural, Singular: singular, ShortNames: shortNames, Namespaced: true,
		New:     func() Object { return P(new(T)) },
		NewList: func() runtime.Object { return Q(new(L)) },
		Default: func(obj Object) { Scheme().Default(obj) },
	}
}

// on gives a function of one kind's type the form that Kind has for all.
func on[T Object](f func(T)) func(Object) { return func(obj Object) { f(obj.(T)) } }

// onBoth is on for functions of the new and the old object.
func onBoth[T Object](f func(obj, old T)) func(obj, old Object) {
	return func(obj, old Object) { f(obj.(T), old.(T)) }
}

// keepLabels leaves the labels alone, for writes of a status that may not change them.
func keepLabels(obj, old metav1.Object) { obj.SetLabels(old.GetLabels()) }
