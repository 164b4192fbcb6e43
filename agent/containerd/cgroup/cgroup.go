// Package cgroup looks at and removes containers' cgroups by their path, on cgroup v1 and v2. The runtime and its shim use
// it; limits are set by runc.
package cgroup

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"
)

// Root is where cgroups are mounted.
const Root = "/sys/fs/cgroup"

// Unified is whether the machine has cgroup v2.
func Unified() bool { return cgroups.Mode() == cgroups.Unified }

// Dirs are the folders of one cgroup: one on cgroup v2, one for each controller on v1.
func Dirs(path string) []string {
	if Unified() {
		return []string{filepath.Join(Root, path)}
	}
	controllers, err := os.ReadDir(Root)
	if err != nil {
		return nil
	}
	var dirs []string
	for _, c := range controllers {
		// Some are links to others (cpu -> cpu,cpuacct).
		if dir := filepath.Join(Root, c.Name(), path); c.IsDir() {
			if _, err := os.Stat(dir); err == nil {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// OOMKills is how many processes of the cgroup the kernel killed for memory; 0 when the cgroup is gone.
func OOMKills(path string) int {
	if path == "" {
		return 0
	}
	file := filepath.Join(Root, "memory", path, "memory.oom_control")
	if Unified() {
		file = filepath.Join(Root, path, "memory.events")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
			n, _ := strconv.Atoi(value)
			return n
		}
	}
	return 0
}

// Remove kills what is left in a container's cgroup and removes it. That is runc's work but for a container whose
// shim was killed.
func Remove(ctx context.Context, path string) error {
	if path == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := tryRemove(path)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup %s: %w", path, err)
		case <-time.After(wait): // killed processes need a moment to be gone, and the kernel tells nobody
		}
	}
}

func tryRemove(path string) error {
	var errs []error
	for _, dir := range Dirs(path) {
		if err := killAll(dir); err != nil {
			errs = append(errs, err)
		}
		if err := removeTree(dir); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// killAll kills the processes of a cgroup and those below it.
func killAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return ignoreGone(err)
		}
		content, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return ignoreGone(err)
		}
		for _, field := range strings.Fields(string(content)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by now
			}
		}
		return nil
	})
}

// removeTree removes a cgroup and those that the container made below it.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreGone(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return ignoreGone(unix.Rmdir(dir))
}

func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
