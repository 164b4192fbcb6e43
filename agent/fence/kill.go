package fence

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	root = "/sys/fs/cgroup"
	// killTries is how often the processes of a pod are killed until there are none: they may be making others meanwhile.
	killTries = 100
	killWait  = 10 * time.Millisecond
)

// Kill ends all processes of cgroups, and returns how many it found at first.
func Kill(cgroups []string) (found int) {
	for try := range killTries {
		left := 0
		for _, cgroup := range cgroups {
			left += kill(cgroup)
		}
		if try == 0 {
			found = left
		}
		if left == 0 {
			break
		}
		time.Sleep(killWait) // the kernel tells nobody
	}
	return found
}

// kill sends SIGKILL to the processes of a cgroup and those below it, and returns how many there are.
func kill(cgroup string) int {
	pids := map[int]bool{}
	for _, dir := range dirs(cgroup) {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return nil // it is gone
			}
			procs, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for _, field := range strings.Fields(string(procs)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 1 && !isShim(pid) {
					pids[pid] = true
				}
			}
			return nil
		})
	}
	for pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by now
	}
	return len(pids)
}

// isShim holds for a shim that is starting a container: it serves other pods too, and puts the process back that it began.
func isShim(pid int) bool {
	exe, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	return strings.HasPrefix(filepath.Base(exe), "containerd-shim")
}

// dirs are the folders of a cgroup: one on cgroup v2, one for each controller on v1.
func dirs(cgroup string) []string {
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return []string{filepath.Join(root, cgroup)}
	}
	found, _ := filepath.Glob(filepath.Join(root, "*", cgroup))
	return found
}
