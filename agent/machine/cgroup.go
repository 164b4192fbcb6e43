package machine

import (
	"os"
	"slices"
	"strings"
)

// controllers are those that pods' limits need, under the names of cgroup v1 and v2.
var controllers = []string{"cpu", "memory", "pids"}

const (
	mountRemedy  = "mount cgroup2 on /sys/fs/cgroup, or enable your init system's cgroups service"
	memoryRemedy = "add \"cgroup_enable=memory cgroup_memory=1\" to the kernel's command line (on a Raspberry Pi: /boot/firmware/cmdline.txt) and reboot"
	enableRemedy = "boot a kernel that has them, and check cgroup_disable= on its command line"
)

func (m Machine) cgroups() Finding {
	version, has := "v2", m.unified()
	if has == nil {
		version, has = "v1", m.legacy()
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
	switch {
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
