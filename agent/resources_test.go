package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"covey.dev/covey/agent/keyring"
)

func TestResourcesBecomeCgroupValues(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		l := corev1.ResourceList{}
		if cpu != "" {
			l[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			l[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		return l
	}
	for _, c := range []struct {
		name             string
		requests, limits corev1.ResourceList
		class            corev1.PodQOSClass
		want             Resources
	}{
		{"nothing", nil, nil, corev1.PodQOSBestEffort, Resources{CPUShares: 2, CPUPeriod: 100_000, OOMScoreAdj: 1000}},
		{"a request", list("250m", "1Gi"), nil, corev1.PodQOSBurstable, Resources{CPUShares: 256, CPUPeriod: 100_000, OOMScoreAdj: 750}},
		{"a limit counts as the request", nil, list("500m", "64Mi"), corev1.PodQOSGuaranteed, Resources{CPUShares: 512, CPUQuota: 50_000, CPUPeriod: 100_000, MemoryLimit: 64 << 20, OOMScoreAdj: -997}},
		{"as little as can be", list("1m", ""), list("1m", ""), corev1.PodQOSBurstable, Resources{CPUShares: 2, CPUQuota: 1000, CPUPeriod: 100_000, OOMScoreAdj: 999}},
		{"more than there is", list("1000", "64Gi"), nil, corev1.PodQOSBurstable, Resources{CPUShares: 262144, CPUPeriod: 100_000, OOMScoreAdj: 3}},
	} {
		pod := &corev1.Pod{Status: corev1.PodStatus{QOSClass: c.class}}
		container := &corev1.Container{Resources: corev1.ResourceRequirements{Requests: c.requests, Limits: c.limits}}
		if got := resources(pod, container, list("4", "4Gi")); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestCredentialsGoToTheirHostOnly asks what a pull tells the registry of an image, and mirrors of it.
func TestCredentialsGoToTheirHostOnly(t *testing.T) {
	ring, err := keyring.Parse([]byte(`{"auths": {
		"https://index.docker.io/v1/": {"auth": "aHViOnA="}, "registry.example": {"auth": "cmVnOnA="}, "mirror.example": {"auth": "bWlyOnA="}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ image, host, want string }{
		{"docker.io/library/app:1", "registry-1.docker.io", "hub"},
		{"docker.io/library/app:1", "mirror.example", "mir"},
		{"docker.io/library/app:1", "other.example", ""},
		{"registry.example/app:1", "registry.example", "reg"},
		{"registry.example/app:1", "mirror.example", "mir"},
		{"registry.example/app:1", "other.example", ""},
		{"other.example/app:1", "other.example", ""},
	} {
		tries := ring.For(c.image)
		var chosen *keyring.Credential
		if len(tries) > 0 {
			chosen = &tries[0]
		}
		got := ""
		if auth := credentials(c.image, &ring, chosen)(c.host); auth != nil {
			got = auth.Username
		}
		if got != c.want {
			t.Errorf("%s from %s: %q, want %q", c.image, c.host, got, c.want)
		}
	}
}
