package layers_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/containerd/layers"
)

// layer makes a folder with files, whose content is "LAYER NAME". A name that ends with ! is a whiteout, one that ends with / an
// opaque folder, and a -> b a symbolic link.
func layer(t *testing.T, name string, files ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for _, file := range files {
		file, target, isLink := strings.Cut(file, " -> ")
		path := filepath.Join(dir, strings.TrimRight(file, "!/"))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, path)
		case strings.HasSuffix(file, "!"):
			err = unix.Mknod(path, unix.S_IFCHR, 0)
		case strings.HasSuffix(file, "/"):
			if err = os.MkdirAll(path, 0o755); err == nil {
				err = unix.Setxattr(path, "trusted.overlay.opaque", []byte("y"), 0)
			}
		default:
			err = os.WriteFile(path, []byte(name+" "+file), 0o644)
		}
		if errors.Is(err, unix.EPERM) {
			t.Skip("needs root")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestViewIsWhatTheKernelMounts(t *testing.T) {
	upper := layer(t, "upper", "etc/new", "etc/gone!", "hidden/", "hidden/own", "covered/x!")
	middle := layer(t, "middle", "etc/both", "etc/gone", "hidden/middle", "usr/lib/passwd", "etc/link -> ../usr/lib/passwd", "dirlink -> etc", "file")
	lower := layer(t, "lower", "etc/both", "etc/low", "hidden/low", "covered/x/y", "dir/low", "file/below")
	work := t.TempDir()
	// The work folder must lie on the same file system as the upper one.
	mounts := []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"workdir=" + work, "upperdir=" + upper, "lowerdir=" + middle + ":" + lower,
	}}}
	read := func(root fs.FS, name string) string {
		b, err := fs.ReadFile(root, name)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			return "not there"
		case err != nil:
			return err.Error()
		}
		return string(b)
	}
	names := []string{
		"etc/new", "etc/gone", "etc/both", "etc/low", "hidden/own", "hidden/middle", "hidden/low", "covered/x/y", "dir/low",
		"etc/link", "dirlink/low", "file", "file/below", "nothing", "usr/lib/passwd",
	}
	want := map[string]string{}
	err := mount.WithReadonlyTempMount(t.Context(), mounts, func(dir string) error {
		for _, name := range names {
			want[name] = read(os.DirFS(dir), name)
		}
		return nil
	})
	if err != nil {
		t.Skipf("no overlayfs here: %v", err)
	}
	for _, name := range names {
		err := layers.View(t.Context(), mounts, func(root fs.FS) error {
			f, err := root.Open(name)
			if err == nil {
				_ = f.Close()
			} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				return err // as a caller would, so that View can try the other way
			}
			if got := read(root, name); got != want[name] {
				t.Errorf("%s: %q, want %q", name, got, want[name])
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if want["etc/both"] != "middle etc/both" || want["hidden/low"] != "not there" {
		t.Errorf("the kernel showed %v", want)
	}
}
