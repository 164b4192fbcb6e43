package controller

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// claim settles which of the candidates belong to the owner, by Kubernetes' rules: what it controls and its selector
// matches is its; what nobody controls and matches is adopted; what it controls and no longer matches is released. An
// owner that is being deleted neither adopts nor releases, and nothing that is being deleted is adopted. It returns
// those that belong to the owner, adopted ones as changed copies; all is false when there are too many to settle at once.
func claim[T Object](
	r *Result, resource string, owner Object, kind schema.GroupVersionKind, selector labels.Selector, candidates []T, env *Env,
) (mine []T, all bool) {
	for _, obj := range candidates {
		if r.isFull(env) {
			return nil, false
		}
		ref := metav1.GetControllerOfNoCopy(obj)
		matches := selector.Matches(labels.Set(obj.GetLabels()))
		switch {
		case ref != nil && ref.UID != owner.GetUID():
		case ref != nil && matches:
			mine = append(mine, obj)
		case owner.GetDeletionTimestamp() != nil:
		case ref != nil:
			released := clone(obj)
			dropOwners(released, func(ref metav1.OwnerReference) bool { return ref.UID == owner.GetUID() })
			r.change(Update, resource, released)
		case matches && obj.GetDeletionTimestamp() == nil:
			adopted := clone(obj)
			adopted.SetOwnerReferences(append(adopted.GetOwnerReferences(), *metav1.NewControllerRef(owner, kind)))
			r.change(Update, resource, adopted)
			mine = append(mine, adopted)
		}
	}
	return mine, true
}

func dropOwners(obj Object, drop func(metav1.OwnerReference) bool) {
	refs := slices.DeleteFunc(slices.Clone(obj.GetOwnerReferences()), drop)
	if len(refs) == 0 {
		refs = nil
	}
	obj.SetOwnerReferences(refs)
}
