package machine

import (
	"os"
	"slices"
	"strings"
)

// controllers are those that pods' limits need, under the names of cgroup v1 and v2.
var controllers = []string{"cpu", "memory", "pids"}

const (
	writableRemedy = "mount -o remount,rw /sys/fs/cgroup, or in a container make it a privileged one"
	mountRemedy    = "mount cgroup2 on /sys/fs/cgroup, or enable your init system's cgroups service"
	memoryRemedy   = "add \"cgroup_enable=memory cgroup_memory=1\" to the kernel's command line (on a Raspberry Pi: /boot/firmware/cmdline.txt) and reboot"
	enableRemedy   = "boot a kernel that has them, and check cgroup_disable= on its command line"
)

func (m Machine) cgroups() Finding {
	version, has, dir := "v2", m.unified(), "/sys/fs/cgroup"
	if has == nil {
		version, has, dir = "v1", m.legacy(), "/sys/fs/cgroup/memory"
	}
	if len(has) == 0 {
		return Finding{"cgroups", Missing, "none are mounted", mountRemedy}
	}
	var lacks []string
	for _, name := range controllers {
		if !slices.Contains(has, name) {
			lacks = append(lacks, name)
		}
	}
	fs, err := statfs(m.path(dir))
	switch {
	case len(lacks) == 0 && err == nil && fs.readOnly:
		return Finding{"cgroups", Missing, "cgroup " + version + " is mounted read-only", writableRemedy}
	case len(lacks) == 0:
		return ok("cgroups", "cgroup %s with %s", version, strings.Join(controllers, ", "))
	case slices.Equal(lacks, []string{"memory"}):
		return Finding{"cgroups", Missing, "cgroup " + version + " without memory", memoryRemedy}
	default:
		return Finding{"cgroups", Missing, "cgroup " + version + " without " + strings.Join(lacks, ", "), enableRemedy}
	}
}

// unified are the controllers of cgroup v2; nil where it is not what the machine uses.
func (m Machine) unified() []string {
	data, err := os.ReadFile(m.path("/sys/fs/cgroup/cgroup.controllers"))
	if err != nil {
		return nil
	}
	return append([]string{}, strings.Fields(string(data))...)
}

// legacy are the controllers of cgroup v1 that are mounted.
func (m Machine) legacy() []string {
	var has []string
	for _, name := range controllers {
		if _, err := os.Stat(m.path("/sys/fs/cgroup/" + name + "/tasks")); err == nil {
			has = append(has, name)
		}
	}
	return has
}
