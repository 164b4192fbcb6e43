package volume

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// dataLink is the link that is switched when the content changes.
	dataLink = "..data"
	// setPrefix begins the name of a directory with a set of files.
	setPrefix = "..set-"
)

// write puts files into dir so that readers see either the old set or the new one: the files lie in a directory of their
// own, ..data points to it, and the names in dir point through ..data.
//
// Containers from before volumes of the API were read-only may change all in dir, at any time. Nothing that they leave there leads
// out of dir, or has covey open what is no file.
func (v *Volumes) write(dir string, files map[string]file, mode int32, inMemory bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if inMemory {
		if err := tmpfs(dir, "mode=755"); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	points := v.points(path.Base(dir))
	if name := currentSet(root); name == "" || !isSet(root, name, expected{files, points}) {
		if err := v.replace(root, files, mode, points); err != nil {
			return err
		}
	}
	// Also when the content is the same: it may have been switched without coming to this.
	return errors.Join(linkNames(root, files), removeOld(root))
}

// currentSet is the name of the directory that ..data points to; empty if it points to none of ours.
func currentSet(root *os.Root) string {
	name, err := root.Readlink(dataLink)
	if err != nil || !strings.HasPrefix(name, setPrefix) || strings.Contains(name, "/") {
		return ""
	}
	return name
}

// replace makes a directory with the files, and has ..data point to it.
func (v *Volumes) replace(root *os.Root, files map[string]file, mode int32, points []string) error {
	name := setPrefix + rand.Text()
	err := root.Mkdir(name, 0o755)
	if err == nil {
		err = v.fill(root, name, files, mode)
	}
	if old := currentSet(root); err == nil && old != "" {
		err = carryPoints(root, old, name, points)
	}
	if err == nil {
		err = switchLink(root, name)
	}
	if err != nil {
		return errors.Join(err, root.RemoveAll(name))
	}
	return nil
}

func (v *Volumes) fill(root *os.Root, name string, files map[string]file, mode int32) error {
	set, err := openDir(root, name)
	if err != nil {
		return err
	}
	defer func() { _ = set.Close() }()
	if err := set.Chmod(".", 0o755); err != nil {
		return err
	}
	for name, f := range files {
		if err := set.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if f.mode == 0 {
			f.mode = mode
		}
		if err := v.create(set, name, f); err != nil {
			return err
		}
	}
	return nil
}

// create makes a file; with an fsGroup the group owns it and may read it.
func (v *Volumes) create(set *os.Root, name string, f file) error {
	out, err := set.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(f.data)
	perm := os.FileMode(f.mode)
	if group, ok := v.fsGroup(); ok {
		err = errors.Join(err, out.Chown(-1, group))
		perm |= 0o040
	}
	return errors.Join(err, out.Chmod(perm), out.Close())
}

func switchLink(root *os.Root, target string) error {
	const tmp = "..data_tmp"
	if err := root.RemoveAll(tmp); err != nil {
		return err
	}
	if err := root.Symlink(target, tmp); err != nil {
		return err
	}
	if err := root.Rename(tmp, dataLink); err != nil {
		return fmt.Errorf("switch to the new content: %w", err)
	}
	return nil
}

// linkNames makes the names that users see, and removes those that are no more. What is not a link of ours stays: something may be
// mounted on it in a container, and would be gone there.
func linkNames(root *os.Root, files map[string]file) error {
	tops := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		tops[top] = true
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		target, err := root.Readlink(name)
		if err != nil || !strings.HasPrefix(target, dataLink+"/") || tops[name] {
			continue
		}
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	for _, top := range slices.Sorted(maps.Keys(tops)) {
		if err := linkName(root, top); err != nil {
			return err
		}
	}
	return nil
}

func linkName(root *os.Root, name string) error {
	target := path.Join(dataLink, name)
	old, err := root.Readlink(name)
	switch {
	case err == nil && old == target:
		return nil
	case err == nil:
		err = root.Remove(name)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	default: // no link
		return nil
	}
	return errors.Join(err, root.Symlink(target, name))
}

// removeOld removes all sets but the one that ..data points to.
func removeOld(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	current := currentSet(root)
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, setPrefix) && name != current {
			if err := root.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// expected is what a set has to hold: exactly these files. Mount points may be there besides.
type expected struct {
	files  map[string]file
	points []string
}

// isSet reports whether the directory with this name holds what is expected.
func isSet(root *os.Root, name string, e expected) bool {
	set, err := openDir(root, name)
	if err != nil {
		return false
	}
	defer func() { _ = set.Close() }()
	count, ok := e.match(set, "")
	return ok && count == len(e.files)
}

// match counts the files below dir, whose own path is at; it is not ok when one of them is not as wanted.
func (e expected) match(dir *os.Root, at string) (count int, ok bool) {
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return 0, false
	}
	for _, entry := range entries {
		name, n := path.Join(at, entry.Name()), 0
		f, wanted := e.files[name]
		switch {
		case wanted:
			n, ok = 1, holds(dir, entry.Name(), f.data)
		case entry.IsDir() && e.isAbove(name):
			n, ok = e.matchBelow(dir, entry.Name(), name)
		default:
			ok = slices.Contains(e.points, name)
		}
		if !ok {
			return 0, false
		}
		count += n
	}
	return count, true
}

// isAbove reports whether something is expected in the directory with this path.
func (e expected) isAbove(at string) bool {
	below := func(name string) bool { return strings.HasPrefix(name, at+"/") }
	return slices.ContainsFunc(slices.Collect(maps.Keys(e.files)), below) || slices.ContainsFunc(e.points, below)
}

func (e expected) matchBelow(parent *os.Root, name, at string) (count int, ok bool) {
	dir, err := openDir(parent, name)
	if err != nil {
		return 0, false
	}
	defer func() { _ = dir.Close() }()
	return e.match(dir, at)
}

// holds reports whether the content of a file is as wanted.
func holds(dir *os.Root, name string, content []byte) bool {
	f, err := openFile(dir, name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, int64(len(content))+1))
	return err == nil && bytes.Equal(data, content)
}

// openDir opens a directory, and nothing else: a pipe would be waited for, a device would be woken.
func openDir(parent *os.Root, name string) (*os.Root, error) {
	at, err := parent.OpenFile(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = at.Close() }()
	return os.OpenRoot(opened(at))
}

// openFile opens a regular file to read it, and nothing else.
func openFile(parent *os.Root, name string) (*os.File, error) {
	at, err := parent.OpenFile(name, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = at.Close() }()
	info, err := at.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	return os.Open(opened(at))
}

// opened is a path to what a file has open.
func opened(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
