package controller

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// The resources that controllers write: plural names with their group.
const (
	Pods            = "pods"
	ReplicaSets     = "replicasets.apps"
	Deployments     = "deployments.apps"
	Namespaces      = "namespaces"
	ServiceAccounts = "serviceaccounts"
	Budgets         = "poddisruptionbudgets.policy"
)

// Object is an API object: a pointer to one of the types of k8s.io/api.
type Object interface {
	runtime.Object
	metav1.Object
}

// Ref names an object; Resource is the plural name with its group.
type Ref struct {
	Resource  string
	Namespace string
	Name      string
}

// Verb is what is to be done with an object.
type Verb int

// A graceful deletion is an Update that sets the deletion timestamp; Delete removes the object.
const (
	Create Verb = iota
	Update
	Delete
)

// Change is one object's change. Object is its new state, for Delete its last.
type Change struct {
	Verb   Verb
	Ref    Ref
	Object Object
}

// Result is a decision. Due is when to decide again even if nothing changes; zero for never.
type Result struct {
	Changes []Change
	Events  []Event
	Due     time.Time
}

// Env is what a decision may not find out by itself.
type Env struct {
	Now    time.Time
	NewUID func() types.UID
	Suffix func() string // five random characters for a pod's name
	// Most is how many objects a decision may change, about, so that a commit of large ones is not too large: what is left is decided
	// when that is done. 0 is any number.
	Most int
	// Admit fills in a new pod what the API fills in for a user's, or refuses it as the API would; nil adds nothing.
	Admit func(*corev1.Pod) error
}

func (r *Result) change(verb Verb, resource string, obj Object) {
	r.Changes = append(r.Changes, Change{verb, Ref{resource, obj.GetNamespace(), obj.GetName()}, obj})
}

// isFull says that no more is to be decided at once.
func (r *Result) isFull(env *Env) bool { return env.Most > 0 && len(r.Changes) >= env.Most }

func (r *Result) dueAt(t time.Time) {
	if r.Due.IsZero() || t.Before(r.Due) {
		r.Due = t
	}
}

// stamp is the time as objects carry it: in whole seconds.
func (e *Env) stamp() metav1.Time { return metav1.NewTime(e.Now.UTC().Truncate(time.Second)) }

// meta is the metadata of a new object, as the API would fill it in.
func (e *Env) meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: e.NewUID(), CreationTimestamp: e.stamp(), Generation: 1,
	}
}

// reference is how an event names its object.
func reference(apiVersion, kind string, obj Object) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: apiVersion, Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(),
	}
}
