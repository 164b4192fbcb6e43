package controller

import (
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
)

// A generated name leaves room for its random end within a DNS label.
const maxGeneratedBase = 63 - 5

func hasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// isActive says whether a pod counts as a replica.
func isActive(pod *corev1.Pod) bool { return !hasEnded(pod) && pod.DeletionTimestamp == nil }

// readySince is when the pod became ready; false when it is not.
func readySince(pod *corev1.Pod) (time.Time, bool) {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.LastTransitionTime.Time, c.Status == corev1.ConditionTrue
		}
	}
	return time.Time{}, false
}

// newPod makes a pod of a replica set's template, as it comes out of the API: pending, with its quality of service.
func newPod(rs *appsv1.ReplicaSet, env *Env) (*corev1.Pod, error) {
	base := rs.Name + "-"
	if len(base) > maxGeneratedBase {
		base = base[:maxGeneratedBase]
	}
	template := rs.Spec.Template.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: env.meta(rs.Namespace, base+env.Suffix()), Spec: template.Spec}
	pod.GenerateName = rs.Name + "-"
	pod.Labels, pod.Annotations = maps.Clone(template.Labels), maps.Clone(template.Annotations)
	pod.Finalizers = slices.Clone(template.Finalizers)
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(rs, replicaSetKind)}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = "default"
	}
	pod.Spec.DeprecatedServiceAccount = pod.Spec.ServiceAccountName
	if env.Admit != nil {
		if err := env.Admit(pod); err != nil {
			return nil, fmt.Errorf("pods %q is forbidden: %w", pod.GenerateName, err)
		}
	}
	pod.Status.Phase = corev1.PodPending
	pod.Status.QOSClass = qos.ComputePodQOS(pod)
	return pod, nil
}
