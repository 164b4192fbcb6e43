package eviction

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Limited holds for a pod with a limit on local disk, whose use must be measured again and again.
func Limited(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if _, ok := sizeLimit(&pod.Spec.Volumes[i]); ok {
			return true
		}
	}
	_, ok := podLimit(pod)
	return ok
}

// OverLimit gives the message about the first limit on local disk that the pod exceeds; empty when it keeps to them.
func OverLimit(pod *corev1.Pod, use *Usage) string {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if limit, ok := sizeLimit(v); ok && use.EmptyDirs[v.Name].Bytes > limit.Value() {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, limit.String())
		}
	}
	if limit, ok := podLimit(pod); ok && use.disk().Bytes > limit.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", limit.String())
	}
	for _, c := range running(pod) {
		limit, ok := c.Resources.Limits[corev1.ResourceEphemeralStorage]
		if ok && !limit.IsZero() && use.Containers[c.Name].disk().Bytes > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", c.Name, limit.String())
		}
	}
	return ""
}

func (c ContainerUsage) disk() Disk { return c.Writable.add(c.Logs) }

func sizeLimit(v *corev1.Volume) (resource.Quantity, bool) {
	if !onDisk(v) || v.EmptyDir.SizeLimit == nil || v.EmptyDir.SizeLimit.Sign() <= 0 {
		return resource.Quantity{}, false
	}
	return *v.EmptyDir.SizeLimit, true
}

// podLimit is that of all containers together, as Kubernetes adds them up.
func podLimit(pod *corev1.Pod) (resource.Quantity, bool) {
	limit, ok := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})[corev1.ResourceEphemeralStorage]
	return limit, ok
}

// running are the containers that run as long as the pod does: the main ones and the sidecars.
func running(pod *corev1.Pod) []*corev1.Container {
	var list []*corev1.Container
	for i := range pod.Spec.Containers {
		list = append(list, &pod.Spec.Containers[i])
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			list = append(list, c)
		}
	}
	return list
}
