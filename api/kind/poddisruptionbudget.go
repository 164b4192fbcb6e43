package kind

import (
	"time"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	"k8s.io/kubernetes/pkg/apis/policy/validation"
)

func podDisruptionBudgetKind() *Kind {
	k := base[policyv1.PodDisruptionBudget, policyv1.PodDisruptionBudgetList](
		policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"), "poddisruptionbudgets", "poddisruptionbudget", "pdb")
	k.NeedsVersion = true
	k.PrepareCreate = func(obj Object, _ time.Time) {
		b := obj.(*policyv1.PodDisruptionBudget)
		b.Status, b.Generation = policyv1.PodDisruptionBudgetStatus{}, 1
	}
	k.PrepareUpdate = onBoth(func(b, old *policyv1.PodDisruptionBudget) {
		b.Status, b.Generation = old.Status, old.Generation
		if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
			b.Generation++
		}
	})
	k.PrepareStatus = onBoth(func(b, old *policyv1.PodDisruptionBudget) { b.Spec = old.Spec })
	check[policy.PodDisruptionBudget](k, func(b *policy.PodDisruptionBudget) field.ErrorList {
		return append(corevalidation.ValidateObjectMeta(&b.ObjectMeta, true, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata")), validateBudget(b)...)
	}, func(b, old *policy.PodDisruptionBudget) field.ErrorList {
		return append(corevalidation.ValidateObjectMetaUpdate(&b.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata")), validateBudget(b)...)
	})
	checkStatus[policy.PodDisruptionBudget](k, func(b, old *policy.PodDisruptionBudget) field.ErrorList {
		return validation.ValidatePodDisruptionBudgetStatusUpdate(b.Status, old.Status, field.NewPath("status"), policyv1.SchemeGroupVersion)
	})
	selectable[*policyv1.PodDisruptionBudget](k, nil)
	k.Columns = []metav1.TableColumnDefinition{
		nameColumn(),
		text("Min Available", "The minimum number of pods that must be available."),
		text("Max Unavailable", "The maximum number of pods that may be unavailable."),
		number("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
		ageColumn(),
	}
	k.Row = rowOf(func(b *policyv1.PodDisruptionBudget, now time.Time) []any {
		return []any{
			b.Name, orNone(b.Spec.MinAvailable), orNone(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), age(b, now),
		}
	})
	return k
}

func validateBudget(b *policy.PodDisruptionBudget) field.ErrorList {
	return validation.ValidatePodDisruptionBudget(b, validation.PodDisruptionBudgetValidationOptions{})
}

func orNone(n *intstr.IntOrString) string {
	if n == nil {
		return "N/A"
	}
	return n.String()
}
