package agent

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// deviceAnnotation begins the annotations that give a pod's containers devices: cdi.k8s.io/camera: vendor.com/camera=front
// (the Container Device Interface). A value may name several, separated by commas.
const deviceAnnotation = "cdi.k8s.io/"

// devices are the CDI names of the devices that the pod's annotations ask for, in the order of the annotations' names.
func devices(pod *corev1.Pod) []string {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(pod.Annotations)) {
		if !strings.HasPrefix(key, deviceAnnotation) {
			continue
		}
		for name := range strings.SplitSeq(pod.Annotations[key], ",") {
			if name = strings.TrimSpace(name); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
