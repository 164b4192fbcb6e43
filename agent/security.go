package agent

import (
	corev1 "k8s.io/api/core/v1"
)

// securityContext is the container's, with what it leaves open taken from the pod's.
func securityContext(pod *corev1.Pod, c *corev1.Container) *corev1.SecurityContext {
	sc := &corev1.SecurityContext{}
	if c.SecurityContext != nil {
		sc = c.SecurityContext.DeepCopy()
	}
	p := pod.Spec.SecurityContext
	if p == nil {
		return sc
	}
	sc.RunAsUser = first(sc.RunAsUser, p.RunAsUser)
	sc.RunAsGroup = first(sc.RunAsGroup, p.RunAsGroup)
	sc.RunAsNonRoot = first(sc.RunAsNonRoot, p.RunAsNonRoot)
	sc.SeccompProfile = first(sc.SeccompProfile, p.SeccompProfile)
	sc.AppArmorProfile = first(sc.AppArmorProfile, p.AppArmorProfile)
	sc.SELinuxOptions = first(sc.SELinuxOptions, p.SELinuxOptions)
	return sc
}

func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// groups are the pod's supplemental groups; its fsGroup is one of them.
func groups(pod *corev1.Pod) []int64 {
	sc := pod.Spec.SecurityContext
	if sc == nil {
		return nil
	}
	list := append([]int64(nil), sc.SupplementalGroups...)
	if sc.FSGroup != nil {
		list = append(list, *sc.FSGroup)
	}
	return list
}

// strictGroups says that only the groups which the manifest names count (KEP-3619).
func strictGroups(pod *corev1.Pod) bool {
	sc := pod.Spec.SecurityContext
	return sc != nil && sc.SupplementalGroupsPolicy != nil && *sc.SupplementalGroupsPolicy == corev1.SupplementalGroupsPolicyStrict
}
