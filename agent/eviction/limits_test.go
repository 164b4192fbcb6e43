package eviction

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const mib = 1 << 20

// limited is a pod of two containers with ephemeral-storage limits ("" for none) and an emptyDir with a size limit.
func limited(one, two, volume string) *corev1.Pod {
	container := func(name, limit string) corev1.Container {
		c := corev1.Container{Name: name}
		if limit != "" {
			c.Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse(limit)}
		}
		return c
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{container("one", one), container("two", two)}}}
	v := corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	if volume != "" {
		q := resource.MustParse(volume)
		v.EmptyDir.SizeLimit = &q
	}
	pod.Spec.Volumes = []corev1.Volume{v}
	return pod
}

// uses is what containers one and two and the volume take, in MiB.
func uses(one, two, volume int64) *Usage {
	return &Usage{
		Containers: map[string]ContainerUsage{
			"one": {Writable: Disk{Bytes: one * mib / 2}, Logs: Disk{Bytes: one * mib / 2}}, "two": {Writable: Disk{Bytes: two * mib}},
		},
		EmptyDirs: map[string]Disk{"v": {Bytes: volume * mib}},
	}
}

func TestOverLimit(t *testing.T) {
	memory := limited("", "", "1Mi")
	memory.Spec.Volumes[0].EmptyDir.Medium = corev1.StorageMediumMemory
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		use  *Usage
		want string
	}{
		"no limits":            {limited("", "", ""), uses(99, 99, 99), ""},
		"within all":           {limited("10Mi", "10Mi", "10Mi"), uses(5, 5, 5), ""},
		"at the limit":         {limited("10Mi", "10Mi", "10Mi"), uses(5, 5, 10), ""},
		"a volume":             {limited("", "", "10Mi"), uses(0, 0, 11), `Usage of EmptyDir volume "v" exceeds the limit "10Mi". `},
		"a volume in memory":   {memory, uses(0, 0, 2), ""},
		"a container":          {limited("10Mi", "100Mi", ""), uses(12, 0, 0), `Container one exceeded its local ephemeral storage limit "10Mi". `},
		"the other, unlimited": {limited("10Mi", "", ""), uses(1, 5, 0), ""},
		"all together":         {limited("10Mi", "10Mi", ""), uses(9, 9, 5), `Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. `},
	} {
		if got := OverLimit(c.pod, c.use); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLimited(t *testing.T) {
	memory := limited("", "", "1Mi")
	memory.Spec.Volumes[0].EmptyDir.Medium = corev1.StorageMediumMemory
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"nothing":            {limited("", "", ""), false},
		"a volume":           {limited("", "", "1Mi"), true},
		"a container":        {limited("", "1Gi", ""), true},
		"a volume in memory": {memory, false},
	} {
		if got := Limited(c.pod); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
