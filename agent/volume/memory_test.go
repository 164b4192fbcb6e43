package volume

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestMemoryVolumesTakeNoMoreThanTheirPodMay looks at how large the tmpfs becomes.
func TestMemoryVolumesTakeNoMoreThanTheirPodMay(t *testing.T) {
	container := func(limit string) corev1.Container {
		c := corev1.Container{}
		if limit != "" {
			c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)}
		}
		return c
	}
	for name, c := range map[string]struct {
		containers []corev1.Container
		own        string
		want       string
	}{
		"all that the node has":              {[]corev1.Container{container("")}, "", "700Mi"},
		"its own limit":                      {[]corev1.Container{container("")}, "10Mi", "10Mi"},
		"a limit that is none":               {[]corev1.Container{container("")}, "0", "700Mi"},
		"more than the node has":             {[]corev1.Container{container("8Gi")}, "9Gi", "700Mi"},
		"what its containers may":            {[]corev1.Container{container("32Mi"), container("16Mi")}, "", "48Mi"},
		"less than its containers may":       {[]corev1.Container{container("32Mi"), container("16Mi")}, "40Mi", "40Mi"},
		"one of its containers has no limit": {[]corev1.Container{container("32Mi"), container("")}, "", "700Mi"},
	} {
		v := volumes(t, source{})
		v.Allocatable = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("700Mi")}
		v.Pod.Spec.Containers = c.containers
		e := &corev1.EmptyDirVolumeSource{}
		if c.own != "" {
			limit := resource.MustParse(c.own)
			e.SizeLimit = &limit
		}
		if got := v.memorySize(e); got.Cmp(resource.MustParse(c.want)) != 0 {
			t.Errorf("%s: %s, want %s", name, got.String(), c.want)
		}
	}
}
