package controller

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// OwnerState is what became of an owner that an object names.
type OwnerState int

// The states of an owner. One that waits is being deleted after its dependents (foreground).
const (
	OwnerGone OwnerState = iota
	OwnerThere
	OwnerWaits
)

// Dependent is an object that names another as its owner.
type Dependent struct {
	Ref    Ref
	Object Object
}

// GarbageInput is an object, the state of each owner it names (absent: gone), and the objects that name it as owner,
// which are only needed when it is being deleted with a finalizer, or when an owner of it waits.
type GarbageInput struct {
	Ref        Ref
	Object     Object
	Owners     map[types.UID]OwnerState
	Dependents []Dependent
}

// Garbage does what Kubernetes' garbage collector does: it removes an object when all its owners are gone or wait for
// it, drops references to owners that are gone while others stay, and serves the finalizers foregroundDeletion (the
// dependents first) and orphan (the dependents stay).
func Garbage(in GarbageInput, env Env) Result {
	var r Result
	obj := in.Object
	if obj.GetDeletionTimestamp() != nil {
		switch {
		case slices.Contains(obj.GetFinalizers(), metav1.FinalizerOrphanDependents):
			r.orphan(in, &env)
		case slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents):
			if !slices.ContainsFunc(in.Dependents, func(d Dependent) bool { return blocks(d.Object, obj.GetUID()) }) {
				r.removeFinalizer(in.Ref.Resource, obj, metav1.FinalizerDeleteDependents)
			}
		}
		return r
	}
	there, waiting := in.count()
	switch {
	case len(obj.GetOwnerReferences()) == 0 || there == len(obj.GetOwnerReferences()):
	case there > 0:
		kept := clone(obj)
		dropOwners(kept, func(ref metav1.OwnerReference) bool { return in.state(ref) != OwnerThere })
		r.change(Update, in.Ref.Resource, kept)
	case waiting > 0 && len(in.Dependents) > 0:
		r.removeForeground(in.Ref.Resource, obj, &env)
	default:
		r.remove(in.Ref.Resource, obj, &env)
	}
	return r
}

// count counts the owners that stay and those that wait.
func (in *GarbageInput) count() (there, waiting int) {
	for _, ref := range in.Object.GetOwnerReferences() {
		switch in.state(ref) {
		case OwnerWaits:
			waiting++
		case OwnerThere:
			there++
		}
	}
	return there, waiting
}

// state is what became of an owner for the object. One that waits only for others is there: the object goes when it is gone.
func (in *GarbageInput) state(ref metav1.OwnerReference) OwnerState {
	state := in.Owners[ref.UID]
	if state == OwnerWaits && (ref.BlockOwnerDeletion == nil || !*ref.BlockOwnerDeletion) {
		return OwnerThere
	}
	return state
}

// orphan lets go of the dependents, then of the object.
func (r *Result) orphan(in GarbageInput, env *Env) {
	for _, d := range in.Dependents {
		if r.isFull(env) {
			return
		}
		freed := clone(d.Object)
		dropOwners(freed, func(ref metav1.OwnerReference) bool { return ref.UID == in.Object.GetUID() })
		r.change(Update, d.Ref.Resource, freed)
	}
	r.removeFinalizer(in.Ref.Resource, in.Object, metav1.FinalizerOrphanDependents)
}

func blocks(obj Object, owner types.UID) bool {
	return slices.ContainsFunc(obj.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
		return ref.UID == owner && ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion
	})
}
