package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
