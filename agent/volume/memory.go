package volume

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

func (v *Volumes) emptyMemory(dir string, e *corev1.EmptyDirVolumeSource) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	options := "mode=0777"
	if group, ok := v.fsGroup(); ok {
		options = fmt.Sprintf("mode=2777,gid=%d", group)
	}
	if size := v.memorySize(e); !size.IsZero() {
		options += fmt.Sprintf(",size=%d", size.Value())
	}
	return tmpfs(dir, options)
}

// memorySize is how large an emptyDir in memory may become, as the kubelet has it: what the node has for pods, or less where the pod
// may not use as much or the volume says so. The kernel would stop it at half of the machine's memory.
func (v *Volumes) memorySize(e *corev1.EmptyDirVolumeSource) resource.Quantity {
	size := v.Allocatable[corev1.ResourceMemory]
	bound := func(limit resource.Quantity) {
		if limit.Sign() > 0 && (size.IsZero() || limit.Cmp(size) < 0) {
			size = limit
		}
	}
	if limited(v.Pod) {
		bound(resourcehelper.PodLimits(v.Pod, resourcehelper.PodResourcesOptions{})[corev1.ResourceMemory])
	}
	if e.SizeLimit != nil {
		bound(*e.SizeLimit)
	}
	return size
}

// limited holds for a pod whose containers all have a limit on memory, so that they have one together.
func limited(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if limit := list[i].Resources.Limits[corev1.ResourceMemory]; limit.IsZero() {
				return false
			}
		}
	}
	return true
}

func tmpfs(dir, options string) error {
	if isMount(dir) {
		return nil
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	return nil
}

// isMount compares the device of a directory with that of its parent, which suffices for a tmpfs.
func isMount(dir string) bool {
	var own, parent unix.Stat_t
	return unix.Lstat(dir, &own) == nil && unix.Lstat(filepath.Dir(dir), &parent) == nil && own.Dev != parent.Dev
}
