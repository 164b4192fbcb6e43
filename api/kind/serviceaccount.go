package kind

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

func serviceAccountKind() *Kind {
	k := base[corev1.ServiceAccount, corev1.ServiceAccountList](corev1.SchemeGroupVersion.WithKind("ServiceAccount"), "serviceaccounts", "serviceaccount", "sa")
	k.PrepareCreate = func(obj Object, _ time.Time) { onlySecretNames(obj.(*corev1.ServiceAccount)) }
	k.PrepareUpdate = onBoth(func(a, _ *corev1.ServiceAccount) { onlySecretNames(a) })
	check[core.ServiceAccount](k, validation.ValidateServiceAccount, validation.ValidateServiceAccountUpdate)
	warnOfFields(k, serviceAccountPart, nil)
	selectable[*corev1.ServiceAccount](k, nil)
	k.Columns = []metav1.TableColumnDefinition{nameColumn(), ageColumn()}
	k.Row = rowOf(func(a *corev1.ServiceAccount, now time.Time) []any { return []any{a.Name, age(a, now)} })
	return k
}

// onlySecretNames leaves of the references to secrets their names: they are always in the account's namespace.
func onlySecretNames(a *corev1.ServiceAccount) {
	for i, secret := range a.Secrets {
		a.Secrets[i] = corev1.ObjectReference{Name: secret.Name}
	}
}
