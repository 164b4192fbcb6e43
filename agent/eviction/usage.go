package eviction

import (
	corev1 "k8s.io/api/core/v1"
)

// Reason is the reason of pods that were evicted or not admitted under pressure.
const Reason = "Evicted"

// Usage is what one pod uses. Disk is in bytes and inodes of local disks; memory is the working set in bytes.
type Usage struct {
	Memory     int64
	Processes  int64
	Containers map[string]ContainerUsage
	EmptyDirs  map[string]Disk // on disk, by volume name
	Other      Disk            // the pod's files that are no container's
}

// Disk is what files take.
type Disk struct{ Bytes, Inodes int64 }

func (d Disk) add(other Disk) Disk { return Disk{d.Bytes + other.Bytes, d.Inodes + other.Inodes} }

// ContainerUsage is what one container of a pod uses.
type ContainerUsage struct {
	Memory   int64
	Writable Disk // its own layer over the image
	Logs     Disk
}

// disk is all that the pod takes on disks.
func (u *Usage) disk() Disk {
	total := u.Other
	for _, c := range u.Containers {
		total = total.add(c.Writable).add(c.Logs)
	}
	for _, v := range u.EmptyDirs {
		total = total.add(v)
	}
	return total
}

// onDisk holds for an emptyDir that is a directory; one in memory is bounded by its tmpfs.
func onDisk(v *corev1.Volume) bool {
	return v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumDefault
}
