package controller

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RequiredNamespaces are made when they are missing.
var RequiredNamespaces = []string{metav1.NamespaceDefault, metav1.NamespaceSystem}

// NewNamespace makes a namespace as it comes out of the API.
func NewNamespace(name string, env Env) Result {
	var r Result
	ns := &corev1.Namespace{ObjectMeta: env.meta("", name)}
	ns.Generation = 0 // namespaces have none
	ns.Labels = map[string]string{corev1.LabelMetadataName: name}
	ns.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
	ns.Status.Phase = corev1.NamespaceActive
	r.change(Create, Namespaces, ns)
	return r
}

// NamespaceInput is a namespace; whether it has its default service account; and, when it terminates, what is left in
// it (a part is enough when there is much: the rest comes up when the part is gone).
type NamespaceInput struct {
	Namespace         *corev1.Namespace
	HasServiceAccount bool
	Content           []Dependent
}

// Namespace gives a namespace its default service account. Of one that terminates it removes the content, pods first,
// so that they have their configuration until they end, and at last the namespace.
func Namespace(in NamespaceInput, env Env) Result {
	var r Result
	ns := in.Namespace
	if ns.DeletionTimestamp == nil {
		if !in.HasServiceAccount {
			sa := &corev1.ServiceAccount{ObjectMeta: env.meta(ns.Name, "default")}
			sa.Generation = 0
			r.change(Create, ServiceAccounts, sa)
		}
		return r
	}
	if len(in.Content) == 0 {
		r.finishNamespace(ns)
		return r
	}
	pods := slices.ContainsFunc(in.Content, func(d Dependent) bool { return d.Ref.Resource == Pods })
	for _, d := range in.Content {
		if r.isFull(&env) {
			break
		}
		if !pods || d.Ref.Resource == Pods {
			r.remove(d.Ref.Resource, d.Object, &env)
		}
	}
	return r
}

// finishNamespace drops Kubernetes' finalizer and, when no others are left, the namespace.
func (r *Result) finishNamespace(ns *corev1.Namespace) {
	rest := slices.DeleteFunc(slices.Clone(ns.Spec.Finalizers), func(f corev1.FinalizerName) bool {
		return f == corev1.FinalizerKubernetes
	})
	switch {
	case len(rest) == 0 && len(ns.Finalizers) == 0:
		r.change(Delete, Namespaces, ns)
	case len(rest) < len(ns.Spec.Finalizers):
		ns = ns.DeepCopy()
		ns.Spec.Finalizers = rest
		r.change(Update, Namespaces, ns)
	}
}
