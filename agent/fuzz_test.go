package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"covey.dev/covey/agent/downward"
)

// FuzzQuantity makes limits of the kernel of any quantities that the API takes.
func FuzzQuantity(f *testing.F) {
	for _, seed := range []string{"100m", "1", "0", "1e9", "64Mi", "9223372036854775807", "9E", "1e18", "0.0001", "1Ei", "99999999999999999999", "1n", "-1"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		var quantities [2]resource.Quantity
		for i, text := range []string{first, second} {
			q, err := resource.ParseQuantity(text)
			if err != nil || q.Sign() < 0 {
				return // the API refuses it
			}
			quantities[i] = q
		}
		c := corev1.Container{Name: "c", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: quantities[0], corev1.ResourceMemory: quantities[1]},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: quantities[1], corev1.ResourceMemory: quantities[0]},
		}}
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{c}}, Status: corev1.PodStatus{QOSClass: corev1.PodQOSBurstable}}
		capacity := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi")}
		r := resources(pod, &c, capacity)
		if r.CPUShares < minShares || r.CPUShares > maxShares {
			t.Errorf("requests of %s: shares %d", first, r.CPUShares)
		}
		if quantities[0].CmpInt64(1) >= 0 && r.CPUShares < 1024 {
			t.Errorf("requests of %s: shares %d, fewer than of one core", first, r.CPUShares)
		}
		if limit := quantities[1]; !limit.IsZero() && (r.CPUQuota < 1000 || limit.CmpInt64(1) >= 0 && r.CPUQuota < cpuPeriod) {
			t.Errorf("limit of %s: quota %d", second, r.CPUQuota)
		}
		if r.MemoryLimit < 0 || r.OOMScoreAdj < 1000+oomGuaranteed || r.OOMScoreAdj >= oomBestEffort {
			t.Errorf("memory of %s and %s: limit %d, OOM score %d", first, second, r.MemoryLimit, r.OOMScoreAdj)
		}
		for _, of := range []string{"limits.cpu", "requests.memory", "limits.memory", "requests.cpu"} {
			if _, err := downward.Resource(pod, "c", &corev1.ResourceFieldSelector{Resource: of, Divisor: quantities[1]}, capacity); err != nil {
				t.Errorf("%s: %v", of, err)
			}
		}
	})
}
