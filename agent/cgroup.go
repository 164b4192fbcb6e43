package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const cgroupRoot = "/sys/fs/cgroup"

// removeCgroup removes a pod's cgroup, empty by now, from the one hierarchy of cgroup v2 or from each of v1.
func removeCgroup(path string) error {
	dirs := []string{filepath.Join(cgroupRoot, path)}
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err != nil {
		if dirs, err = filepath.Glob(filepath.Join(cgroupRoot, "*", path)); err != nil {
			return err
		}
	}
	var errs []error
	for _, dir := range dirs {
		if err := removeTree(dir); err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
		// The instance's own cgroup goes with its last pod.
		_ = os.Remove(filepath.Dir(dir))
	}
	return errors.Join(errs...)
}

// removeTree removes directories from the leaves up; their files go by themselves.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// limitPids bounds how many processes a pod's containers have together. It makes the pod's cgroup where it is not there.
func limitPids(root, path string, most int64) error {
	dir := filepath.Join(root, "pids", path)
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		dir = filepath.Join(root, path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		// A cgroup has the files of the controllers that the ones above it hand down.
		for _, above := range []string{root, filepath.Join(root, filepath.Dir(path))} {
			if err := os.WriteFile(filepath.Join(above, "cgroup.subtree_control"), []byte("+pids"), 0o644); err != nil {
				return fmt.Errorf("hand the pids controller down: %w", err)
			}
		}
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte(strconv.FormatInt(most, 10)), 0o644); err != nil {
		return fmt.Errorf("limit the pod's processes: %w", err)
	}
	return nil
}

// cgroupFile names a file of a cgroup, in the one hierarchy of cgroup v2 or in the controller's of v1.
func cgroupFile(controller, path, file string) string {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return filepath.Join(cgroupRoot, path, file)
	}
	return filepath.Join(cgroupRoot, controller, path, file)
}

func cgroupNumber(controller, path, file string) (int64, error) {
	return strconv.ParseInt(readLine(cgroupFile(controller, path, file)), 10, 64)
}

// workingSet is the memory that a cgroup uses and that cannot just be dropped, in bytes.
func workingSet(path string) (int64, error) {
	used, err := cgroupNumber("memory", path, "memory.current")
	droppable := "inactive_file "
	if err != nil {
		used, err = cgroupNumber("memory", path, "memory.usage_in_bytes")
		droppable = "total_inactive_file "
	}
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(cgroupFile("memory", path, "memory.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(stat)) {
		if value, ok := strings.CutPrefix(line, droppable); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return max(used-n, 0), err
		}
	}
	return used, nil
}
