// Package downward answers what a pod may ask about itself: fields of its object and resources of its containers.
//
// What comes in: the pod, with the addresses it has by now in its status. What goes out: strings for environment variables
// and for files. Packages env and volume call it.
package downward

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/kubernetes/pkg/api/v1/resource"
	"k8s.io/kubernetes/pkg/fieldpath"
)

// Field is the value of a field path such as metadata.name or status.podIP.
func Field(pod *corev1.Pod, path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return pod.Status.HostIP, nil
	case "status.hostIPs":
		return join(pod.Status.HostIPs, func(ip corev1.HostIP) string { return ip.IP }), nil
	case "status.podIP":
		return pod.Status.PodIP, nil
	case "status.podIPs":
		return join(pod.Status.PodIPs, func(ip corev1.PodIP) string { return ip.IP }), nil
	}
	value, err := fieldpath.ExtractFieldPathAsString(pod, path)
	if err != nil {
		return "", fmt.Errorf("field %s of the pod: %w", path, err)
	}
	return value, nil
}

// Resource is a request or limit of a container; where there is none, what the node has to give.
func Resource(pod *corev1.Pod, container string, ref *corev1.ResourceFieldSelector, allocatable corev1.ResourceList) (string, error) {
	if ref.ContainerName != "" {
		container = ref.ContainerName
	}
	value, err := resourceapi.ExtractResourceValueByContainerNameAndNodeAllocatable(ref, pod, container, allocatable)
	if err != nil {
		return "", fmt.Errorf("resource %s of container %s: %w", ref.Resource, container, err)
	}
	return value, nil
}

func join[T any](list []T, text func(T) string) string {
	parts := make([]string, len(list))
	for i, item := range list {
		parts[i] = text(item)
	}
	return strings.Join(parts, ",")
}
