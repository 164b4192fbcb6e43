package volume

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestWhatIsMountedInAVolumeStays: a mount of a container goes when what it is mounted on is removed on the machine.
func TestWhatIsMountedInAVolumeStays(t *testing.T) {
	src := source{maps: map[string]map[string]string{}}
	v, dir, set := written(t, src)
	file := filepath.Join(v.Dir, "word")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	v.Pod.Spec.Containers = []corev1.Container{{
		TerminationMessagePath: "/conf/deep/end",
		VolumeMounts: []corev1.VolumeMount{
			{Name: "conf", MountPath: "/conf/"}, {Name: "own", MountPath: "/conf/certs/a"}, {Name: "own", MountPath: "conf/deep/own"},
			{Name: "conf", MountPath: "/part", SubPath: "deep"}, {Name: "own", MountPath: "/part/below/it"},
		},
	}}
	v.Pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		VolumeMounts: []corev1.VolumeMount{{Name: "conf", MountPath: "/"}, {Name: "pass", MountPath: "/new/word", SubPath: "word"}},
	}}}
	sources := map[string]string{"certs/a": "", "deep/own": v.Dir, "deep/end": file, "deep/below/it": "", "new/word": file}
	for name, source := range sources {
		for range 2 {
			if err := MountPoint(dir, name, source); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "left"), nil, 0o600); err != nil { // by a container, when it still could
		t.Fatal(err)
	}
	stat := func(name string) os.FileInfo {
		t.Helper()
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := map[string]os.FileInfo{"left": stat("left")}
	for name, source := range sources {
		before[name] = stat(name)
		if want := source != file; before[name].IsDir() != want {
			t.Errorf("%s is a directory: %v, want %v", name, !want, want)
		}
	}
	if _, err := v.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, info := range before {
		if !os.SameFile(stat(name), info) {
			t.Errorf("%s is another after a second setup", name)
		}
	}

	src.maps["conf"]["a"] = "new"
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(set); !os.IsNotExist(err) || read(t, dir, "deep/a") != "new" {
		t.Errorf("the content has not changed: %v", err)
	}
	for name, info := range before {
		// What lies in the set is made anew with it.
		if filepath.Dir(name) != "deep" && name != "deep/below/it" && !os.SameFile(stat(name), info) || stat(name).IsDir() != info.IsDir() {
			t.Errorf("%s is another after a change", name)
		}
	}
}

func TestAMountPointLiesInItsVolume(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "volume")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(root, "out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out/x", "out", "../x"} {
		if err := MountPoint(root, name, ""); err == nil {
			t.Errorf("%s leads out", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); !os.IsNotExist(err) {
		t.Errorf("something was made outside of the volume: %v", err)
	}
}

func TestBelow(t *testing.T) {
	for _, c := range []struct{ outer, target, want string }{
		{"/a", "/a/b/c", "b/c"}, {"a/", "a/./b/", "b"}, {"/", "/a", "a"}, {"/", "/", ""}, {"/a", "/a", ""}, {"/a", "/ab", ""}, {"/a", "", ""},
		{"/a/b", "/a", ""}, {"/a", "/a/../b", ""},
	} {
		if got, ok := Below(c.outer, c.target); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s below %s: %q, %v, want %q", c.target, c.outer, got, ok, c.want)
		}
	}
}
