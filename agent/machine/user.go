package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func (m Machine) user() Finding {
	if uid := os.Geteuid(); uid != 0 {
		return Finding{"user", Missing, fmt.Sprintf("the user with ID %d", uid), "run covey as root"}
	}
	return m.capabilities()
}

// capabilities looks for those without which neither mounts nor networks can be made.
func (m Machine) capabilities() Finding {
	has := m.effective()
	var lacks []string
	for _, c := range []struct {
		bit  int
		name string
	}{{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}} {
		if has&(1<<c.bit) == 0 {
			lacks = append(lacks, c.name)
		}
	}
	if len(lacks) > 0 {
		return Finding{"user", Missing, "root without " + strings.Join(lacks, ", "), "run covey outside of a container, or in a privileged one"}
	}
	return ok("user", "root")
}

// effective are the capabilities of this process; all, where the kernel does not say.
func (m Machine) effective() uint64 {
	status, err := os.ReadFile(m.path("/proc/self/status"))
	_, after, found := strings.Cut(string(status), "\nCapEff:")
	line, _, _ := strings.Cut(after, "\n")
	has, parseErr := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil || !found || parseErr != nil {
		return ^uint64(0)
	}
	return has
}
