package kind

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// atMostOne is the annotation of a pod that is never started elsewhere while it may run: scheduler/controller and agent act on it.
const atMostOne = "covey.dev/at-most-one"

// checkAtMostOne adds to a kind's validation that the annotation says what it means. On a pod it stays as it is: the node, which may be
// cut off, and the scheduler must have the same.
func checkAtMostOne(k *Kind) {
	create, update := k.Validate, k.ValidateUpdate
	k.Validate = func(obj Object) field.ErrorList { return append(create(obj), atMostOneErrors(obj)...) }
	k.ValidateUpdate = func(obj, old Object) field.ErrorList {
		return append(update(obj, old), append(atMostOneErrors(obj), atMostOneChanged(obj, old)...)...)
	}
	if status := k.ValidateStatus; status != nil {
		k.ValidateStatus = func(obj, old Object) field.ErrorList { return append(status(obj, old), atMostOneChanged(obj, old)...) }
	}
}

func atMostOneErrors(obj Object) field.ErrorList {
	annotations, path, strategy := obj.GetAnnotations(), field.NewPath("metadata", "annotations"), appsv1.RecreateDeploymentStrategyType
	template := field.NewPath("spec", "template", "metadata", "annotations")
	switch o := obj.(type) {
	case *appsv1.Deployment:
		annotations, path, strategy = o.Spec.Template.Annotations, template, o.Spec.Strategy.Type
	case *appsv1.ReplicaSet:
		annotations, path = o.Spec.Template.Annotations, template
	}
	value, there := annotations[atMostOne]
	switch {
	case there && value != "true" && value != "false":
		return field.ErrorList{field.NotSupported(path.Key(atMostOne), value, []string{"true", "false"})}
	case value == "true" && strategy != appsv1.RecreateDeploymentStrategyType:
		return field.ErrorList{field.Invalid(field.NewPath("spec", "strategy", "type"), strategy,
			"pods with "+atMostOne+" need Recreate: a rolling update runs old and new ones side by side")}
	}
	return nil
}

func atMostOneChanged(obj, old Object) field.ErrorList {
	if _, is := obj.(*corev1.Pod); !is || obj.GetAnnotations()[atMostOne] == old.GetAnnotations()[atMostOne] {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("metadata", "annotations").Key(atMostOne), "it cannot be changed on a pod: make another one")}
}
