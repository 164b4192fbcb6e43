package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProcessesAreLimitedOnBothVersions(t *testing.T) {
	for version, file := range map[string]string{"v1": "pids/covey-1/podx/pids.max", "v2": "covey-1/podx/pids.max"} {
		root := t.TempDir()
		if version == "v2" {
			if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpu pids"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := limitPids(root, "/covey-1/podx", 100); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(root, file)); err != nil || string(got) != "100" {
			t.Errorf("%s: %q, %v", version, got, err)
		}
		for _, dir := range []string{"", "covey-1"} {
			got, err := os.ReadFile(filepath.Join(root, dir, "cgroup.subtree_control"))
			if handed := err == nil && string(got) == "+pids"; handed != (version == "v2") {
				t.Errorf("%s: the controller is handed down by %q: %v", version, dir, handed)
			}
		}
	}
}
