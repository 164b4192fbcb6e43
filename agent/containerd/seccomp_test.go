package containerd

import (
	"runtime"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestDefaultProfileArchitectures holds what the time of a container's start depends on, and that 32-bit programs run.
func TestDefaultProfileArchitectures(t *testing.T) {
	if runtime.GOARCH != "amd64" || !kernelHasSeccomp() {
		t.Skip("needs an amd64 machine with seccomp")
	}
	opts, err := withSeccomp(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	spec := &oci.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}, Linux: &specs.Linux{}}
	for _, opt := range opts {
		if err := opt(t.Context(), nil, &containers.Container{}, spec); err != nil {
			t.Fatal(err)
		}
	}
	got := slices.Sorted(slices.Values(spec.Linux.Seccomp.Architectures))
	if want := []specs.Arch{specs.ArchX86, specs.ArchX86_64}; !slices.Equal(got, want) {
		t.Errorf("the profile is for %v, want %v", got, want)
	}
}
