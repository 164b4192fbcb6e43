// Package layers reads single files of a container's root as overlayfs would show them, without mounting it, which costs
// more than all else that is done to make a container's specification. The runtime uses it.
package layers

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// View calls fn with the root that mounts would make.
func View(ctx context.Context, mounts []mount.Mount, fn func(fs.FS) error) error {
	if dirs, ok := directories(mounts); ok {
		if err := fn(stack(dirs)); !errors.Is(err, errNotPlain) {
			return err
		}
	}
	return mount.WithReadonlyTempMount(ctx, mounts, func(dir string) error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }() // read only
		return fn(root.FS())
	})
}

// errNotPlain is that of a path with a symbolic link in it, which only the kernel resolves here.
var errNotPlain = errors.New("symbolic link in a layer")

// directories are those that mounts lay over one another, the uppermost first; false for mounts of other kinds.
func directories(mounts []mount.Mount) ([]string, bool) {
	if len(mounts) != 1 || mounts[0].Target != "" {
		return nil, false
	}
	switch m := mounts[0]; m.Type {
	case "bind":
		return []string{m.Source}, true
	case "overlay":
		var upper, lower []string
		for _, option := range m.Options {
			key, value, _ := strings.Cut(option, "=")
			switch key {
			case "upperdir":
				upper = []string{value}
			case "lowerdir":
				if strings.ContainsAny(value, `\`) || strings.Contains(value, "::") {
					return nil, false
				}
				lower = strings.Split(value, ":")
			}
		}
		dirs := slices.Concat(upper, lower)
		return dirs, len(dirs) > 0 && !slices.ContainsFunc(dirs, func(d string) bool { return !path.IsAbs(d) })
	}
	return nil, false
}

// stack is the directories of an overlay, the uppermost first.
type stack []string

func (s stack) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	for _, dir := range s {
		at, err := find(dir, name)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		switch at {
		case here:
			return os.OpenFile(path.Join(dir, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		case nowhere:
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// where is what one layer says about a path.
type where int

const (
	below   where = iota // nothing: a lower layer may have it
	here                 // this layer has it
	nowhere              // this layer hides it
)

func find(dir, name string) (where, error) {
	opaque := false
	at := dir
	for part := range strings.SplitSeq(name, "/") {
		at = path.Join(at, part)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, unix.ENOTDIR): // a file here hides a folder below
			return nowhere, nil
		case errors.Is(err, fs.ErrNotExist):
			if opaque {
				return nowhere, nil
			}
			return below, nil
		case err != nil:
			return nowhere, err
		case info.Mode()&fs.ModeSymlink != 0:
			return nowhere, errNotPlain
		case isWhiteout(info):
			return nowhere, nil
		case info.IsDir():
			opaque = opaque || isOpaque(at)
		}
	}
	return here, nil
}

// isWhiteout is whether the file stands for a deleted one: a character device 0/0, as the kernel documents for overlayfs.
func isWhiteout(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && stat.Rdev == 0
}

// isOpaque is whether the directory hides those below it.
func isOpaque(dir string) bool {
	var value [1]byte
	for _, attribute := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		if n, err := unix.Lgetxattr(dir, attribute, value[:]); err == nil && n == 1 && value[0] == 'y' {
			return true
		}
	}
	return false
}
