package volume

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// written is a volume of a ConfigMap with a file "deep/a", where it is, and the directory that ..data points to.
func written(t *testing.T, src source) (v *Volumes, dir, set string) {
	t.Helper()
	src.maps["conf"] = map[string]string{"a": "old"}
	v = volumes(t, src, corev1.Volume{Name: "conf", VolumeSource: configMap("conf", corev1.KeyToPath{Key: "a", Path: "deep/a"})})
	paths, err := v.Setup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir = paths["conf"]
	name, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil {
		t.Fatal(err)
	}
	return v, dir, filepath.Join(dir, name)
}

// TestWhatAContainerLeavesLeadsNowhere has what can write to the volume change it.
func TestWhatAContainerLeavesLeadsNowhere(t *testing.T) {
	link := func(to string, path ...string) error {
		name := filepath.Join(path...)
		if err := os.RemoveAll(name); err != nil {
			return err
		}
		return os.Symlink(to, name)
	}
	pipe := func(path ...string) error {
		name := filepath.Join(path...)
		if err := os.RemoveAll(name); err != nil {
			return err
		}
		return unix.Mkfifo(name, 0o666)
	}
	for name, leave := range map[string]func(dir, set string) error{
		"..data leads out":          func(dir, _ string) error { return link("../machine", dir, dataLink) },
		"..data is absolute":        func(dir, _ string) error { return link(filepath.Join(dir, "../machine"), dir, dataLink) },
		"..data looks like ours":    func(dir, _ string) error { return link("..set-/../../machine", dir, dataLink) },
		"..data is a pipe":          func(dir, _ string) error { return pipe(dir, dataLink) },
		"the set leads out":         func(_, set string) error { return link("../machine", set) },
		"the set is a pipe":         func(_, set string) error { return pipe(set) },
		"a directory leads out":     func(_, set string) error { return link("../../machine/deep", set, "deep") },
		"a directory is a pipe":     func(_, set string) error { return pipe(set, "deep") },
		"a file leads out":          func(_, set string) error { return link("../../../machine/deep/a", set, "deep/a") },
		"a file is a pipe":          func(_, set string) error { return pipe(set, "deep/a") },
		"a name is a pipe":          func(dir, _ string) error { return pipe(dir, "deep") },
		"the link's name leads out": func(dir, _ string) error { return link("../machine", dir, "..data_tmp") },
	} {
		t.Run(name, func(t *testing.T) {
			src := source{maps: map[string]map[string]string{}}
			v, dir, set := written(t, src)
			machine := filepath.Join(v.Dir, "machine", "deep")
			if err := os.MkdirAll(machine, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(machine, "a"), []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := leave(dir, set); err != nil {
				t.Fatal(err)
			}
			src.maps["conf"]["a"] = "new"
			if err := v.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			if got := read(t, dir, dataLink, "deep/a"); got != "new" {
				t.Errorf("the volume has %q", got)
			}
			if read(t, machine, "a") != "old" || mode(t, filepath.Join(machine, "a")) != 0o600 || mode(t, filepath.Dir(machine)) != 0o700 {
				t.Error("what lies outside of the volume has changed")
			}
		})
	}
}

// TestAnInterruptedChangeIsFinished has a volume as it is when covey was killed, or the disk was full, after ..data was switched.
func TestAnInterruptedChangeIsFinished(t *testing.T) {
	v, dir, set := written(t, source{maps: map[string]map[string]string{}})
	if err := os.Rename(filepath.Join(dir, "deep"), filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"..set-1", "..set-2/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, left), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "deep/a"); got != "old" {
		t.Errorf("the file has %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, len(entries))
	for i, entry := range entries {
		got[i] = entry.Name()
	}
	if want := []string{dataLink, filepath.Base(set), "deep"}; !slices.Equal(got, want) {
		t.Errorf("the volume has %q, want %q", got, want)
	}
}

// TestWhatIsNotOursStays: containers may have mounts there, and what they wrote before volumes of the API were read-only.
func TestWhatIsNotOursStays(t *testing.T) {
	src := source{maps: map[string]map[string]string{}}
	v, dir, _ := written(t, src)
	for _, name := range []string{"certs", "deep"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"theirs": "certs", "gone": "..data/gone"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, content := range []string{"old", "new"} {
		src.maps["conf"]["a"] = content
		if err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, typ := range map[string]os.FileMode{"certs": os.ModeDir, "deep": os.ModeDir, "theirs": os.ModeSymlink} {
			if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode().Type() != typ {
				t.Errorf("%s: %s is gone: %v", content, name, err)
			}
		}
		if _, err := os.Lstat(filepath.Join(dir, "gone")); !os.IsNotExist(err) {
			t.Errorf("%s: a name that is no more is there: %v", content, err)
		}
	}
}
