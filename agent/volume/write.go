package volume

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dataLink is the link that is switched when the content changes.
const dataLink = "..data"

// write puts files into dir so that readers see either the old set or the new one: the files lie in a directory of their
// own, ..data points to it, and the names in dir point through ..data.
func (v *Volumes) write(dir string, files map[string]file, mode int32, inMemory bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if inMemory {
		if err := tmpfs(dir, "mode=755"); err != nil {
			return err
		}
	}
	if same(filepath.Join(dir, dataLink), files) {
		return nil
	}
	fresh, err := os.MkdirTemp(dir, "..set-")
	if err != nil {
		return err
	}
	if err := v.fill(fresh, files, mode); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	old, _ := os.Readlink(filepath.Join(dir, dataLink))
	if err := switchLink(dir, filepath.Base(fresh)); err != nil {
		return err
	}
	if err := linkNames(dir, files); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, old))
}

func (v *Volumes) fill(dir string, files map[string]file, mode int32) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for name, f := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		perm := f.mode
		if perm == 0 {
			perm = mode
		}
		if err := os.WriteFile(path, f.data, 0o600); err != nil {
			return err
		}
		if err := v.give(path, os.FileMode(perm)); err != nil {
			return err
		}
	}
	return nil
}

// give sets a file's mode; with an fsGroup the group owns it and may read it.
func (v *Volumes) give(path string, perm os.FileMode) error {
	if group, ok := v.fsGroup(); ok {
		if err := os.Chown(path, -1, group); err != nil {
			return err
		}
		perm |= 0o040
	}
	return os.Chmod(path, perm)
}

func switchLink(dir, target string) error {
	tmp := filepath.Join(dir, "..data_tmp")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return fmt.Errorf("switch to the new content: %w", err)
	}
	return nil
}

// linkNames makes the names that users see, and removes those that are no more.
func linkNames(dir string, files map[string]file) error {
	tops := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		tops[top] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, "..") && !tops[name] {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for _, top := range slices.Sorted(maps.Keys(tops)) {
		err := os.Symlink(filepath.Join(dataLink, top), filepath.Join(dir, top))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// same reports whether dir holds exactly these files.
func same(dir string, files map[string]file) bool {
	count := 0
	err := filepath.WalkDir(dir+"/", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if f, ok := files[name]; err != nil || !ok || string(f.data) != string(data) {
			return errors.Join(err, os.ErrInvalid)
		}
		count++
		return nil
	})
	return err == nil && count == len(files)
}
