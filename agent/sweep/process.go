package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/containerd/cgroup"
)

// lookEvery is how often ended processes are counted: the kernel tells only their parent.
const lookEvery = 50 * time.Millisecond

// terminate asks the processes of a cgroup to end and waits until they have, or the grace is over.
func terminate(ctx context.Context, path string, grace time.Duration) {
	for _, pid := range members(path) {
		_ = unix.Kill(pid, unix.SIGTERM) // it may have ended by now
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for len(members(path)) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// members are the processes in a cgroup and those below it.
func members(path string) []int {
	seen := map[int]bool{}
	var pids []int
	for _, dir := range cgroup.Dirs(path) {
		_ = filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() != "cgroup.procs" {
				return nil
			}
			content, _ := os.ReadFile(file) // a cgroup that is gone has no processes
			for _, field := range strings.Fields(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 1 && !seen[pid] {
					seen[pid] = true
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// killPrograms kills what runs from a file below dir: the shims, and runc in the middle of something.
func killPrograms(dir string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		program, err := os.Readlink(filepath.Join("/proc", entry.Name(), "exe"))
		if err != nil || !strings.HasPrefix(program, filepath.Clean(dir)+"/") {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("kill %s (process %d): %w", filepath.Base(program), pid, err))
		}
	}
	return errors.Join(errs...)
}
