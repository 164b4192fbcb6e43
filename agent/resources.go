package agent

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The kernel's bounds of a CPU weight, and what a container without a request gets.
const (
	minShares = 2
	maxShares = 262144
	cpuPeriod = 100_000 // microseconds
	// maxMilliCPU is more than any machine has: what is asked for beyond it would not fit the kernel's numbers.
	maxMilliCPU = 1_000_000 * 1000
)

// How willingly the kernel kills a container when memory runs out, by the pod's quality of service.
const (
	oomGuaranteed = -997
	oomBestEffort = 1000
)

func resources(pod *corev1.Pod, c *corev1.Container, capacity corev1.ResourceList) Resources {
	r := Resources{CPUShares: shares(c), CPUPeriod: cpuPeriod, OOMScoreAdj: oomScoreAdj(pod, c, capacity)}
	if limit, ok := c.Resources.Limits[corev1.ResourceCPU]; ok && !limit.IsZero() {
		r.CPUQuota = max(milliCPU(limit)*cpuPeriod/1000, 1000)
	}
	if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
		r.MemoryLimit = bytesOf(limit)
	}
	return r
}

// shares is 1024 for a whole core; with only a limit, the limit counts as the request.
func shares(c *corev1.Container) uint64 {
	request, ok := c.Resources.Requests[corev1.ResourceCPU]
	if !ok {
		request = c.Resources.Limits[corev1.ResourceCPU]
	}
	return uint64(min(max(milliCPU(request)*1024/1000, minShares), maxShares))
}

func milliCPU(q resource.Quantity) int64 {
	if q.CmpInt64(maxMilliCPU/1000) >= 0 {
		return maxMilliCPU
	}
	return q.MilliValue()
}

// bytesOf is Value without its overflow: a quantity may be above what 64 bits hold.
func bytesOf(q resource.Quantity) int64 {
	if q.CmpInt64(math.MaxInt64) >= 0 {
		return math.MaxInt64
	}
	return q.Value()
}

// oomScoreAdj follows the kubelet: the more of the machine's memory a burstable container asked for, the later it goes.
func oomScoreAdj(pod *corev1.Pod, c *corev1.Container, capacity corev1.ResourceList) int {
	switch pod.Status.QOSClass {
	case corev1.PodQOSGuaranteed:
		return oomGuaranteed
	case corev1.PodQOSBestEffort:
		return oomBestEffort
	}
	request := c.Resources.Requests[corev1.ResourceMemory]
	if isSidecar(pod, c) {
		request = leastOf(pod, request)
	}
	total := capacity[corev1.ResourceMemory]
	if total.IsZero() {
		return oomBestEffort - 1
	}
	asked := min(bytesOf(request), total.Value())
	adj := 1000 - 1000*asked/max(total.Value(), 1)
	return int(min(max(adj, 1000+oomGuaranteed), oomBestEffort-1))
}

// leastOf is the least that a main container asks for, if that is more than request: a sidecar goes no sooner than those
// that it serves.
func leastOf(pod *corev1.Pod, request resource.Quantity) resource.Quantity {
	var least *resource.Quantity
	for i := range pod.Spec.Containers {
		q := pod.Spec.Containers[i].Resources.Requests[corev1.ResourceMemory]
		if least == nil || q.Cmp(*least) < 0 {
			least = &q
		}
	}
	if least != nil && least.Cmp(request) > 0 {
		return *least
	}
	return request
}
