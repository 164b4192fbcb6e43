package kind

import (
	"context"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Object is an API object: a pointer to one of the types of k8s.io/api.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind is all that the API server needs to know of one kind of object. Funcs may be nil where a kind has nothing to say.
// All of them are pure but for the clock that is handed in; objects handed in as new may be changed, old ones may not.
type Kind struct {
	GVK        schema.GroupVersionKind
	Plural     string // "deployments"
	Singular   string
	ShortNames []string
	Categories []string // "all"
	Namespaced bool

	// Stored is set for kinds that are another version of a kind: objects are stored as that one, and read and written through it.
	Stored *Stored

	New     func() Object
	NewList func() runtime.Object

	// NeedsVersion refuses a PUT that does not say which version it replaces: those who write such objects race.
	NeedsVersion bool

	// HasStatus serves /status: writes to the object leave the status alone, writes to /status leave the rest alone.
	HasStatus bool
	// Parts are further subresources that write a part of the object alone, by their names.
	Parts map[string]Part
	// Scale serves /scale when it is not nil.
	Scale *Scale

	// Default fills in what Kubernetes fills in (its own defaulting code).
	Default func(obj Object)
	// PrepareCreate and PrepareUpdate do what Kubernetes' strategies do before validation: reset the status, set the
	// generation, generate selectors and so on. PrepareStatus is for writes to /status.
	PrepareCreate func(obj Object, now time.Time)
	PrepareUpdate func(obj, old Object)
	PrepareStatus func(obj, old Object)
	// Validate and ValidateUpdate return Kubernetes' own field errors; ValidateStatus is for writes to /status.
	Validate       func(obj Object) field.ErrorList
	ValidateUpdate func(obj, old Object) field.ErrorList
	ValidateStatus func(obj, old Object) field.ErrorList
	// Reserve completes obj with names that only one object may hold (see Reservation), before it is validated; free says whether
	// one is. old is nil when obj is new. Holds are the names that an object holds. Both or neither are nil.
	Reserve func(obj, old Object, free func(Reservation) bool) field.ErrorList
	Holds   func(obj Object) []Reservation
	// Warnings says which fields covey does not act on, and what Kubernetes warns of; old is nil on create.
	Warnings func(ctx context.Context, obj, old Object) []string

	// GraceSeconds is how long a deletion is announced before the object goes: 0 for at once, -1 for "no graceful
	// deletion". asked is DeleteOptions.gracePeriodSeconds. Only pods have it.
	GraceSeconds func(obj Object, asked *int64) int64
	// OnDelete changes an object whose deletion begins (a Namespace becomes Terminating); it may be nil.
	OnDelete func(obj Object)

	// Fields are the field selectors the kind supports, metadata.name and metadata.namespace included.
	Fields func(obj Object) fields.Set
	// FieldNames are the keys of Fields, to refuse others.
	FieldNames []string

	// Columns and Row make the Table; a Row has one cell for each column. Priority 1 columns are for -o wide.
	Columns []metav1.TableColumnDefinition
	Row     func(obj Object, now time.Time) []any
}

// Part is a subresource through which one part of an object is written, as /ephemeralcontainers of a pod.
type Part struct {
	// Prepare puts back all but the part.
	Prepare  func(obj, old Object)
	Validate func(obj, old Object) field.ErrorList
}

// Scale reads and writes the scale subresource of a kind.
type Scale struct {
	Get func(obj Object) *autoscalingv1.Scale
	Set func(obj Object, replicas int32)
}

// GVR is the kind's group, version and resource.
func (k *Kind) GVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.GVK.Group, Version: k.GVK.Version, Resource: k.Plural}
}

// List is what a list of objects of the kind is.
func (k *Kind) List() schema.GroupVersionKind {
	return k.GVK.GroupVersion().WithKind(k.GVK.Kind + "List")
}

// Resource names the kind's table in the store: "pods", "deployments.apps".
func (k *Kind) Resource() string {
	if k.Stored != nil {
		return k.Stored.As.Resource()
	}
	return schema.GroupResource{Group: k.GVK.Group, Resource: k.Plural}.String()
}
