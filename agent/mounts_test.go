package agent_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestContainersOnlyReadWhatTheAPIMakes looks at mounts that do not say that they are read-only.
func TestContainersOnlyReadWhatTheAPIMakes(t *testing.T) {
	f := setup(t)
	f.cluster.change(func() {
		f.cluster.maps["settings"] = &corev1.ConfigMap{Data: map[string]string{"a": "1"}}
		f.cluster.secrets["pass"] = &corev1.Secret{Data: map[string][]byte{"word": []byte("x")}}
	})
	settings := corev1.LocalObjectReference{Name: "settings"}
	labels := []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}
	p := newPod("a", "sleep")
	p.Spec.Volumes = []corev1.Volume{
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: settings}}},
		{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "pass"}}},
		{Name: "self", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: labels}}},
		{Name: "all", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: settings}},
		}}}},
		{Name: "own", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	c := &p.Spec.Containers[0]
	for _, v := range p.Spec.Volumes {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
	}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "config", MountPath: "/part", SubPath: "a"})
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	spec, _ := f.runtime.Spec(f.containers()[0].ID)
	got := map[string]bool{}
	for _, m := range spec.Mounts {
		got[m.Target] = m.ReadOnly
	}
	want := map[string]bool{
		"/config": true, "/secret": true, "/self": true, "/all": true, "/part": true,
		"/own": false, "/etc/hosts": false, "/etc/hostname": false, "/etc/resolv.conf": false,
	}
	if !maps.Equal(got, want) {
		t.Errorf("read-only: %v, want %v", got, want)
	}
	f.remove(uid, 1)
}

// TestMountsInsideOfAVolumeOfTheAPIHaveTheirPlaces: in the container nothing can be made there.
func TestMountsInsideOfAVolumeOfTheAPIHaveTheirPlaces(t *testing.T) {
	f := setup(t)
	f.cluster.change(func() {
		f.cluster.maps["settings"] = &corev1.ConfigMap{Data: map[string]string{"a": "1"}}
		f.cluster.secrets["pass"] = &corev1.Secret{Data: map[string][]byte{"word": []byte("x")}}
	})
	p := newPod("a", "sleep")
	p.Spec.Volumes = []corev1.Volume{
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Items: []corev1.KeyToPath{{Key: "a", Path: "deep/a"}},
		}}},
		{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "pass"}}},
		{Name: "own", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	c := &p.Spec.Containers[0]
	c.TerminationMessagePath = "/etc/end"
	c.VolumeMounts = []corev1.VolumeMount{
		{Name: "own", MountPath: "/etc/own"}, {Name: "config", MountPath: "/etc"}, {Name: "own", MountPath: "/etc/deep/own"},
		{Name: "secret", MountPath: "/etc/word", SubPath: "word"}, {Name: "secret", MountPath: "/etc/own/secret"},
	}
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	spec, _ := f.runtime.Spec(f.containers()[0].ID)
	var dir string
	for _, m := range spec.Mounts {
		if m.Target == "/etc" {
			dir = m.Source
		}
	}
	for name, wantDir := range map[string]bool{"own": true, "deep/own": true, "deep/a": false, "word": false, "end": false, "hosts": false} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() != wantDir {
			t.Errorf("%s: %v, want a directory: %v", name, err, wantDir)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "own")); err != nil || len(entries) > 0 {
		t.Errorf("a place for what is mounted in the emptyDir: %v, %v", entries, err)
	}
	f.remove(uid, 1)
}
