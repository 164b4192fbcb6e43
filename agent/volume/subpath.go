package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SubPath mounts what is at sub inside the volume at root on target, which a container can then be given. A directory is
// made where there is nothing. Links are followed as long as they stay inside; because it is the opened file that is
// mounted, a link that is changed meanwhile leads nowhere else.
func SubPath(root, sub, target string) error {
	if err := makeSub(root, sub); err != nil {
		return err
	}
	f, err := openBeneath(root, sub)
	if err != nil {
		return fmt.Errorf("subPath %q: %w", sub, err)
	}
	defer func() { _ = f.Close() }()
	if err := unmountAll(target); err != nil {
		return err
	}
	if err := makeTarget(f, target); err != nil {
		return err
	}
	if err := unix.Mount(opened(f), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount subPath %q: %w", sub, err)
	}
	return nil
}

func makeSub(root, sub string) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if _, err := r.Stat(sub); !errors.Is(err, os.ErrNotExist) {
		return nil // what else may be wrong with it shows when it is opened
	}
	if err := r.MkdirAll(sub, 0o755); err != nil {
		return fmt.Errorf("create subPath %q: %w", sub, err)
	}
	return nil
}

func openBeneath(root, sub string) (*os.File, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	fd, err := unix.Openat2(int(dir.Fd()), sub, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("open it inside the volume: %w", err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(root, sub)), nil
}

// makeTarget makes a file or a directory to mount on, like what is mounted.
func makeTarget(f *os.File, target string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if old, err := os.Lstat(target); err == nil && old.IsDir() != info.IsDir() {
		if err := os.Remove(target); err != nil {
			return err
		}
	}
	if info.IsDir() {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	t, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return t.Close()
}

// unmountAll unmounts all that is mounted at path, if anything is.
func unmountAll(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch {
		case err == nil:
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil
		default:
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
}
