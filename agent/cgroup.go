package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
