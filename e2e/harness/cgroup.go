package harness

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// HasLimit fails the test if the process's cgroup does not have the value: the file and value of cgroup v1 or, where the
// machine has that, of v2. An empty file is not looked at.
func HasLimit(t T, pid int, controller, file1, file2, value1, value2 string) {
	t.Helper()
	cgroups, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	root, file, want := "/sys/fs/cgroup", file2, value2
	var group string
	for line := range strings.Lines(string(cgroups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case parts[0] == "0" && group == "":
			group = parts[2]
		case strings.Contains(","+parts[1]+",", ","+controller+","):
			root, group, file, want = filepath.Join("/sys/fs/cgroup", controller), parts[2], file1, value1
		}
	}
	if file == "" {
		return
	}
	got, err := os.ReadFile(filepath.Join(root, group, file))
	if err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("%s of process %d is %q (%v), want %s", file, pid, got, err, want)
	}
}
