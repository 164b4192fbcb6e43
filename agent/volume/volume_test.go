package volume

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var errMissing = errors.New("not found")

// source has ConfigMaps and Secrets by name.
type source struct {
	maps    map[string]map[string]string
	secrets map[string]map[string][]byte
}

func (s source) ConfigMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	data, ok := s.maps[name]
	if !ok {
		return nil, errMissing
	}
	return &corev1.ConfigMap{Data: data}, nil
}

func (s source) Secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	data, ok := s.secrets[name]
	if !ok {
		return nil, errMissing
	}
	return &corev1.Secret{Data: data}, nil
}

func (source) IsMissing(err error) bool { return errors.Is(err, errMissing) }

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for mounts")
	}
}

func volumes(t *testing.T, src Source, vols ...corev1.Volume) *Volumes {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := Teardown(dir); err != nil {
			t.Error(err)
		}
	})
	return &Volumes{
		Dir: dir, Source: src,
		Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{Volumes: vols}},
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func configMap(name string, items ...corev1.KeyToPath) corev1.VolumeSource {
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: items}}
}

func TestAConfigMapBecomesFilesAndIsSwitchedAtOnce(t *testing.T) {
	src := source{maps: map[string]map[string]string{"conf": {"a": "1", "b": "2"}}}
	v := volumes(t, src, corev1.Volume{Name: "conf", VolumeSource: configMap("conf")})
	paths, err := v.Setup(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	dir := paths["conf"]
	if read(t, dir, "a")+read(t, dir, "b") != "12" || mode(t, filepath.Join(dir, "a")) != 0o644 {
		t.Error("the files are not those of the ConfigMap")
	}
	// A reader that has the directory open keeps the old set together.
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil {
		t.Fatal(err)
	}
	src.maps["conf"] = map[string]string{"a": "3", "c": "4"}
	if err := v.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	fresh, _ := os.Readlink(filepath.Join(dir, dataLink))
	if fresh == old || read(t, dir, "a")+read(t, dir, "c") != "34" {
		t.Errorf("the files did not change: %s", fresh)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 4 { // ..data, what it points to, a and c
		t.Errorf("old files are left: %v", entries)
	}
	if err := v.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.Readlink(filepath.Join(dir, dataLink)); again != fresh {
		t.Error("files that did not change were written")
	}
}

func TestItemsModesAndWhatIsMissing(t *testing.T) {
	needRoot(t)
	src := source{maps: map[string]map[string]string{"conf": {"a": "1"}}, secrets: map[string]map[string][]byte{"pass": {"word": []byte("x")}}}
	yes, strict, group := true, int32(0o400), int64(1234)
	secret := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "pass", DefaultMode: &strict}}
	optional := configMap("none")
	optional.ConfigMap.Optional = &yes
	v := volumes(t, src,
		corev1.Volume{Name: "deep", VolumeSource: configMap("conf", corev1.KeyToPath{Key: "a", Path: "x/y", Mode: &strict})},
		corev1.Volume{Name: "pass", VolumeSource: secret},
		corev1.Volume{Name: "optional", VolumeSource: optional},
		corev1.Volume{Name: "self", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
		}}}},
	)
	v.Pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &group}
	paths, err := v.Setup(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if read(t, paths["deep"], "x/y") != "1" || mode(t, filepath.Join(paths["deep"], "x/y")) != 0o440 {
		t.Errorf("mode %o, want 0440: the fsGroup may read it", mode(t, filepath.Join(paths["deep"], "x/y")))
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(paths["pass"], "word"), &st); err != nil || st.Gid != 1234 {
		t.Errorf("group %d, %v", st.Gid, err)
	}
	if !isMount(paths["pass"]) {
		t.Error("a secret is on disk")
	}
	if read(t, paths["self"], "labels") != "app=\"web\"" {
		t.Error(read(t, paths["self"], "labels"))
	}
	for _, bad := range []struct {
		source corev1.VolumeSource
		want   string
	}{
		{configMap("none"), `MountVolume.SetUp failed for volume "v" : not found`},
		{configMap("conf", corev1.KeyToPath{Key: "z", Path: "z"}), `configmap "conf" references non-existent key: z`},
		{corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}, "not supported"},
	} {
		b := volumes(t, src, corev1.Volume{Name: "v", VolumeSource: bad.source})
		if _, err := b.Setup(context.Background()); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("error %v, want %q", err, bad.want)
		}
	}
}

func TestEmptyDirIsForAllAndKeptAsItIs(t *testing.T) {
	needRoot(t)
	limit, group := resource.MustParse("1Mi"), int64(1234)
	v := volumes(t, source{},
		corev1.Volume{Name: "disk", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		corev1.Volume{Name: "memory", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: &limit}}},
	)
	v.Pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &group}
	for range 2 {
		paths, err := v.Setup(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for name, path := range paths {
			var st syscall.Stat_t
			if err := syscall.Stat(path, &st); err != nil || st.Gid != 1234 || st.Mode&0o2777 != 0o2777 {
				t.Errorf("%s: group %d, mode %o, %v", name, st.Gid, st.Mode, err)
			}
		}
	}
	err := os.WriteFile(filepath.Join(v.Dir, "memory", "big"), make([]byte, 2<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("2 MiB went into a volume of 1 MiB: %v", err)
	}
	disk := filepath.Join(v.Dir, "disk")
	if err := os.Chmod(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Setup(context.Background()); err != nil || mode(t, disk) != 0o700 {
		t.Errorf("mode %o, %v: what its pod has set is changed", mode(t, disk), err)
	}
}

func TestHostPathTypes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind corev1.HostPathType
		path string
		ok   bool
	}{
		{corev1.HostPathDirectory, dir, true}, {corev1.HostPathDirectory, file, false}, {corev1.HostPathDirectory, dir + "/none", false},
		{corev1.HostPathFile, file, true}, {corev1.HostPathFile, dir, false},
		{corev1.HostPathDirectoryOrCreate, dir + "/a/b", true}, {corev1.HostPathDirectoryOrCreate, file, false},
		{corev1.HostPathFileOrCreate, dir + "/new", true}, {corev1.HostPathSocket, file, false},
		{corev1.HostPathCharDev, "/dev/null", true}, {corev1.HostPathBlockDev, "/dev/null", false},
	} {
		if err := hostPath(&corev1.HostPathVolumeSource{Path: c.path, Type: &c.kind}); (err == nil) != c.ok {
			t.Errorf("%s %s: %v", c.kind, c.path, err)
		}
	}
}

func TestASubPathDoesNotLeaveItsVolume(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	root, target := filepath.Join(dir, "volume"), filepath.Join(dir, "pod", "subpaths", "0")
	t.Cleanup(func() {
		if err := Teardown(filepath.Join(dir, "pod")); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(filepath.Join(root, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{"secret": "host", "volume/file": "inside", "volume/real/file": "deep"} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "real", "out": "..", "abs": "/etc"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"out/secret", "abs", "../secret", "real/../../secret"} {
		if err := SubPath(root, sub, target); err == nil {
			t.Errorf("%s leads out", sub)
		}
	}
	if err := SubPath(root, "link", target); err != nil || read(t, target, "file") != "deep" {
		t.Errorf("a link inside: %v", err)
	}
	// The same place again, for the next run of the container: now a file, and a directory that is not there yet.
	if err := SubPath(root, "file", target); err != nil || read(t, target) != "inside" {
		t.Errorf("a file: %v", err)
	}
	if err := SubPath(root, "new/dir", target); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(target, "x"), []byte("y"), 0o600); err != nil || read(t, root, "new/dir/x") != "y" {
		t.Errorf("what is written to the mount is not in the volume: %v", err)
	}
}

func TestTeardownLeavesWhatIsMountedAlone(t *testing.T) {
	needRoot(t)
	dir, host := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pod := filepath.Join(dir, "pod")
	if err := SubPath(host, ".", filepath.Join(pod, "subpaths", "c", "0")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link") // the data directory may be one
	if err := os.Symlink(pod, link); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Teardown(link); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(host, "precious")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(pod); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pod's directory is left: %v", err)
	}
}
