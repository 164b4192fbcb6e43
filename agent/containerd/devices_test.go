package containerd

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"covey.dev/covey/agent"
)

func TestDevicesOfVendors(t *testing.T) {
	before := deviceDirs
	t.Cleanup(func() { deviceDirs = before })
	deviceDirs = []string{t.TempDir()}
	description := `{"cdiVersion": "0.6.0", "kind": "x.org/cam", "devices": [{"name": "front", "containerEdits": {
		"env": ["CAM=front"], "deviceNodes": [{"path": "/dev/cam", "hostPath": "/dev/null"}],
		"mounts": [{"hostPath": "/lib", "containerPath": "/opt/cam", "options": ["ro", "bind"]}]}}]}`
	if err := os.WriteFile(filepath.Join(deviceDirs[0], "cam.json"), []byte(description), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := &oci.Spec{Process: &specs.Process{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
	if err := withDevices([]string{"x.org/cam=front"})(t.Context(), nil, nil, spec); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(spec.Process.Env, "CAM=front") || len(spec.Mounts) != 1 || len(spec.Linux.Devices) != 1 || spec.Linux.Devices[0].Path != "/dev/cam" {
		t.Errorf("%+v %+v %+v", spec.Process.Env, spec.Mounts, spec.Linux.Devices)
	}
	allowed := spec.Linux.Resources.Devices
	if len(allowed) != 1 || !allowed[0].Allow || *allowed[0].Major != 1 || *allowed[0].Minor != 3 {
		t.Errorf("the cgroup allows %+v", allowed)
	}
	err := withDevices([]string{"x.org/cam=back"})(t.Context(), nil, nil, spec)
	if !errors.Is(err, agent.ErrInvalidSpec) || !strings.Contains(err.Error(), "x.org/cam=back") {
		t.Errorf("a device that is not there: %v", err)
	}
}
