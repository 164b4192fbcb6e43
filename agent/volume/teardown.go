package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Teardown unmounts all that is mounted below dir, a pod's directory, and removes it. It removes nothing as long as
// something is still mounted: that may be a directory of the machine.
func Teardown(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, path := range mounts {
		if err := unmountAll(path); err != nil {
			return err
		}
	}
	if mounts, err = mountsBelow(dir); err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("something is still mounted at %s", strings.Join(mounts, ", "))
	}
	return os.RemoveAll(dir)
}

// mountsBelow are the mounts below dir, the deepest first.
func mountsBelow(dir string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	paths := make([]string, len(infos))
	for i, info := range infos {
		paths[i] = info.Mountpoint
	}
	slices.SortFunc(paths, func(a, b string) int { return len(b) - len(a) })
	return paths, nil
}
