package agent

import (
	"context"
	"errors"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/disk"
	"covey.dev/covey/agent/eviction"
)

// diskUsage measures what the pod keeps on local disks: the newest run of each container, its logs, emptyDirs, and the files of
// covey's that containers may write to, in /etc and for their last words.
func (w *worker) diskUsage(ctx context.Context) (*eviction.Usage, error) {
	pod := w.currentPod()
	use := &eviction.Usage{Containers: map[string]eviction.ContainerUsage{}, EmptyDirs: map[string]eviction.Disk{}}
	containers, err := w.containers(ctx)
	if err != nil {
		return nil, err
	}
	for name, list := range containers {
		written, err := w.runtime.DiskUsage(ctx, list[len(list)-1].ID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		logs, err := disk.Measure(ctx, filepath.Join(w.podDir(w.ref.UID), "logs", name))
		if err != nil {
			return nil, err
		}
		use.Containers[name] = eviction.ContainerUsage{Writable: eviction.Disk(written), Logs: eviction.Disk(logs)}
	}
	for _, dir := range []string{"etc", "messages"} {
		taken, err := disk.Measure(ctx, filepath.Join(w.podDir(w.ref.UID), dir))
		if err != nil {
			return nil, err
		}
		use.Other.Bytes += taken.Bytes
		use.Other.Inodes += taken.Inodes
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.EmptyDir == nil || v.EmptyDir.Medium == corev1.StorageMediumMemory {
			continue
		}
		taken, err := disk.Measure(ctx, filepath.Join(w.podDir(w.ref.UID), "volumes", v.Name))
		if err != nil {
			return nil, err
		}
		use.EmptyDirs[v.Name] = eviction.Disk(taken)
	}
	return use, nil
}
