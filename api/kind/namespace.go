package kind

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

func namespaceKind() *Kind {
	k := base[corev1.Namespace, corev1.NamespaceList](corev1.SchemeGroupVersion.WithKind("Namespace"), "namespaces", "namespace", "ns")
	k.Namespaced = false
	k.PrepareCreate = func(obj Object, _ time.Time) { prepareNamespace(obj.(*corev1.Namespace)) }
	k.PrepareUpdate = onBoth(func(n, old *corev1.Namespace) {
		n.Spec.Finalizers = old.Spec.Finalizers
		n.Status = old.Status
		labelWithName(n)
	})
	k.PrepareStatus = onBoth(func(n, old *corev1.Namespace) { n.Spec = old.Spec })
	k.OnDelete = on(func(n *corev1.Namespace) { n.Status.Phase = corev1.NamespaceTerminating })
	check[core.Namespace](k, validation.ValidateNamespace, func(n, old *core.Namespace) field.ErrorList {
		return append(validation.ValidateNamespace(n), validation.ValidateNamespaceUpdate(n, old)...)
	})
	checkStatus[core.Namespace](k, validation.ValidateNamespaceStatusUpdate)
	selectable(k, func(n *corev1.Namespace) fields.Set {
		return fields.Set{"status.phase": string(n.Status.Phase), "name": n.Name} // "name" is what old clients ask
	})
	k.Columns = []metav1.TableColumnDefinition{nameColumn(), text("Status", "The status of the namespace"), ageColumn()}
	k.Row = rowOf(func(n *corev1.Namespace, now time.Time) []any {
		return []any{n.Name, string(n.Status.Phase), age(n, now)}
	})
	return k
}

// prepareNamespace makes a new namespace one that stays, when it is deleted, until its content is gone.
func prepareNamespace(n *corev1.Namespace) {
	n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
		n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
	}
	labelWithName(n)
}

// labelWithName sets the label by which selectors can name a namespace.
func labelWithName(n *corev1.Namespace) {
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	n.Labels[corev1.LabelMetadataName] = n.Name
}
