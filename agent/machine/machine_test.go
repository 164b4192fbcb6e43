package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// root makes files below a directory.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func expect(t *testing.T, f Finding, level Level, words ...string) {
	t.Helper()
	if f.Level != level {
		t.Errorf("%v: want %s", f, level)
	}
	for _, word := range words {
		if !strings.Contains(f.String(), word) {
			t.Errorf("%q does not say %q", f, word)
		}
	}
	if level != OK && f.Remedy == "" {
		t.Errorf("%q names no remedy", f)
	}
}

func TestCgroups(t *testing.T) {
	v1 := map[string]string{"sys/fs/cgroup/cpu/tasks": "", "sys/fs/cgroup/pids/tasks": ""}
	for name, c := range map[string]struct {
		files map[string]string
		level Level
		says  []string
	}{
		"v2":               {map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n"}, OK, []string{"v2"}},
		"a Raspberry Pi":   {map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids\n"}, Missing, []string{"v2 without memory", "cmdline.txt"}},
		"none enabled":     {map[string]string{"sys/fs/cgroup/cgroup.controllers": "\n"}, Missing, []string{"mount"}},
		"no cgroups":       {nil, Missing, []string{"none are mounted"}},
		"v1 without one":   {v1, Missing, []string{"v1 without memory"}},
		"v1 without three": {map[string]string{"sys/fs/cgroup/memory/tasks": ""}, Missing, []string{"cpu, pids"}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, Machine{Root: root(t, c.files)}.cgroups(), c.level, c.says...)
		})
	}
}

func TestCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		status string
		level  Level
		says   []string
	}{
		"all":          {"Name:\tx\nCapInh:\t0\nCapEff:\t000001fffeffffff\nCapBnd:\t0\n", OK, nil},
		"a container":  {"Name:\tx\nCapEff:\t00000000a80425fb\n", Missing, []string{"root without CAP_NET_ADMIN, CAP_SYS_ADMIN", "privileged"}},
		"it is silent": {"Name:\tx\n", OK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, Machine{Root: root(t, map[string]string{"proc/self/status": c.status})}.capabilities(), c.level, c.says...)
		})
	}
}

func TestClock(t *testing.T) {
	now := released.Add(time.Hour)
	expect(t, judgeClock(now, true), OK)
	expect(t, judgeClock(now, false), Warning, "nobody keeps it right")
	expect(t, judgeClock(time.Unix(0, 0), true), Warning, "1970-01-01", "never set")
}

func TestDisk(t *testing.T) {
	const gib = 1 << 30
	expect(t, fileSystem{total: 100 * gib, available: 50 * gib}.judge("/d"), OK, "50.0 GiB (50 %)")
	expect(t, fileSystem{total: 100 * gib, available: 10 * gib}.judge("/d"), Warning, "--eviction-hard")
	expect(t, fileSystem{total: gib, available: gib / 2}.judge("/d"), Warning, "0.5 GiB")
	expect(t, fileSystem{total: 100 * gib, available: 50 * gib, kind: 0x6969}.judge("/d"), Warning, "another machine")
	expect(t, fileSystem{}.judge("/d"), Warning)
}

// TestThisMachine runs all checks where the tests run, which is a machine that can run pods.
func TestThisMachine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, as covey does")
	}
	data := filepath.Join(t.TempDir(), "not", "yet")
	for _, f := range (Machine{DataDir: data, Now: time.Now()}).Check() {
		t.Log(f)
		if f.Level == Missing {
			t.Errorf("%v", f)
		}
	}
	if _, err := os.Stat(filepath.Dir(data)); err == nil {
		t.Error("a check made the data directory")
	}
}

func TestADataDirectoryInMemory(t *testing.T) {
	fs, err := statfs("/dev/shm")
	if err != nil {
		t.Skip(err)
	}
	fs.available = fs.total
	expect(t, fs.judge("/dev/shm"), Warning, "lost at a reboot")
}
