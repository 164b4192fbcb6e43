package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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

func TestCredentialsAreThoseOfTheRegistry(t *testing.T) {
	secret := &corev1.Secret{Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(
		`{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6cGFzczp3b3Jk"},"registry.example:5000":{"username":"u","password":"p"}}}`)}}
	for registry, want := range map[string]*RegistryAuth{
		"docker.io": {"me", "pass:word"}, "registry.example:5000": {"u", "p"}, "registry.example": nil,
	} {
		got := dockerAuth(secret, registry)
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: %v, want %v", registry, got, want)
		}
	}
	if dockerAuth(&corev1.Secret{Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte("{")}}, "docker.io") != nil {
		t.Error("a broken secret gave credentials")
	}
}
