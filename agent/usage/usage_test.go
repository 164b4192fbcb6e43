package usage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func files(t *testing.T, content map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCgroup(t *testing.T) {
	want := Use{CPU: 1500 * time.Millisecond, Memory: 6000}
	for version, content := range map[string]map[string]string{
		"v1": {
			"cpuacct/x/pod1/c/cpuacct.usage":        "1500000000\n",
			"memory/x/pod1/c/memory.usage_in_bytes": "10000\n",
			"memory/x/pod1/c/memory.stat":           "cache 9000\ninactive_file 1\ntotal_inactive_file 4000\n",
		},
		"v2": {
			"cgroup.controllers":      "cpu memory\n",
			"x/pod1/c/cpu.stat":       "usage_usec 1500000\nuser_usec 1\n",
			"x/pod1/c/memory.current": "10000\n",
			"x/pod1/c/memory.stat":    "anon 6000\nfile 4000\ninactive_file 4000\n",
		},
	} {
		r := Reader{Cgroups: files(t, content)}
		if got, err := r.Cgroup("/x/pod1/c"); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", version, got, err, want)
		}
		if _, err := r.Cgroup("/x/pod1/gone"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s, a cgroup that is gone: %v", version, err)
		}
	}
}

func TestNode(t *testing.T) {
	r := Reader{Proc: files(t, map[string]string{
		"stat":    "cpu  100 10 50 5000 300 5 35 0 0 0\ncpu0 1 2 3\n",
		"meminfo": "MemTotal:  1000 kB\nMemFree:   300 kB\nMemAvailable: 900 kB\nInactive(file):  100 kB\n",
	})}
	got, err := r.Node()
	if want := (Use{CPU: 2 * time.Second, Memory: 600 << 10}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// The machine that runs the tests is read too.
func TestMachine(t *testing.T) {
	got, err := Machine().Node()
	if err != nil || got.CPU <= 0 || got.Memory == 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestText(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	n := Node{Use: Use{2 * time.Second, 600}, At: at, Containers: []Container{
		{"default", "p", "c", at.Add(-time.Minute), Use{1500 * time.Millisecond, 1 << 20}, at},
	}}
	var out strings.Builder
	if err := n.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"# TYPE container_cpu_usage_seconds_total counter",
		`container_cpu_usage_seconds_total{container="c",namespace="default",pod="p"} 1.5 1700000000123`,
		`container_memory_working_set_bytes{container="c",namespace="default",pod="p"} 1.048576e+06 1700000000123`,
		`container_start_time_seconds{container="c",namespace="default",pod="p"} 1.699999940123e+09`,
		"node_cpu_usage_seconds_total 2 1700000000123",
		"node_memory_working_set_bytes 600 1700000000123",
		"resource_scrape_error 0",
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("%s is missing in\n%s", line, out.String())
		}
	}
}
