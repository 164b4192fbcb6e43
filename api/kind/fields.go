package kind

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	podwarnings "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/core"

	"covey.dev/covey/api/kind/support"
)

// refuseFields adds to a kind's validation the errors for fields that covey refuses. An update may keep what the old
// object has.
func refuseFields(k *Kind) {
	create := k.Validate
	k.Validate = func(obj Object) field.ErrorList { return append(create(obj), support.Refusals(obj)...) }
	k.ValidateUpdate = andRefuse(k.ValidateUpdate)
	for name, part := range k.Parts {
		part.Validate = andRefuse(part.Validate)
		k.Parts[name] = part
	}
}

// andRefuse adds refusals to the validation of an update.
func andRefuse(update func(obj, old Object) field.ErrorList) func(obj, old Object) field.ErrorList {
	return func(obj, old Object) field.ErrorList {
		errs := update(obj, old)
		refusals := support.Refusals(obj)
		if len(refusals) == 0 {
			return errs
		}
		had := map[string]bool{}
		for _, err := range support.Refusals(old) {
			had[err.Field] = true
		}
		for _, err := range refusals {
			if !had[err.Field] {
				errs = append(errs, err)
			}
		}
		return errs
	}
}

// warnOfFields makes a kind warn of fields without effect, and of what Kubernetes warns of, which more gives; more may be
// nil. An update that leaves the part of the object that the warnings are about as it was warns of nothing again.
func warnOfFields(k *Kind, part func(Object) any, more func(ctx context.Context, obj, old Object) []string) {
	k.Warnings = func(ctx context.Context, obj, old Object) []string {
		if old != nil && equality.Semantic.DeepEqual(part(obj), part(old)) {
			return nil
		}
		warnings := support.Warnings(obj)
		if more != nil {
			warnings = append(warnings, more(ctx, obj, old)...)
		}
		return warnings
	}
}

func podPart(obj Object) any        { return obj.(*corev1.Pod).Spec }
func nodePart(obj Object) any       { return obj.(*corev1.Node).Spec }
func deploymentPart(obj Object) any { return obj.(*appsv1.Deployment).Spec.Template }
func replicaSetPart(obj Object) any { return obj.(*appsv1.ReplicaSet).Spec.Template }

func serviceAccountPart(obj Object) any {
	a := obj.(*corev1.ServiceAccount)
	return []any{a.Secrets, a.ImagePullSecrets, a.AutomountServiceAccountToken}
}

// podWarnings are Kubernetes' own for a new pod; it has none for changes to one.
func podWarnings(ctx context.Context, obj, old Object) []string {
	if old != nil {
		return nil
	}
	warnings := nameWarnings(obj, "the Pod's hostname")
	if p, err := internalOf[core.Pod](obj); err == nil {
		warnings = append(warnings, podwarnings.GetWarningsForPod(ctx, p, nil)...)
	}
	return warnings
}

func deploymentWarnings(ctx context.Context, obj, old Object) []string {
	return templateWarnings(ctx, obj, old, func(obj Object) (*core.PodTemplateSpec, error) {
		d, err := internalOf[apps.Deployment](obj)
		return &d.Spec.Template, err
	})
}

func replicaSetWarnings(ctx context.Context, obj, old Object) []string {
	return templateWarnings(ctx, obj, old, func(obj Object) (*core.PodTemplateSpec, error) {
		rs, err := internalOf[apps.ReplicaSet](obj)
		return &rs.Spec.Template, err
	})
}

// templateWarnings are Kubernetes' own for the pod template that of gives.
func templateWarnings(ctx context.Context, obj, old Object, of func(Object) (*core.PodTemplateSpec, error)) []string {
	template, err := of(obj)
	if err != nil {
		return nil // validation has said so
	}
	var warnings []string
	var before *core.PodTemplateSpec
	if old == nil {
		warnings = nameWarnings(obj, "Pod names and hostnames")
	} else if before, err = of(old); err != nil {
		return nil
	}
	return append(warnings, podwarnings.GetWarningsForPodTemplate(ctx, field.NewPath("spec", "template"), template, before)...)
}

// nameWarnings is for names that are used as host names and are none.
func nameWarnings(obj Object, usedIn string) []string {
	if wrong := validation.IsDNS1123Label(obj.GetName()); len(wrong) > 0 {
		return []string{fmt.Sprintf("metadata.name: this is used in %s, which can result in surprising behavior; a DNS label is recommended: %v", usedIn, wrong)}
	}
	return nil
}
