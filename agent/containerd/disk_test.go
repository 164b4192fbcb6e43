package containerd

import (
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
)

// TestDiskUsageIsWhatAContainerWrote leaves out the image.
func TestDiskUsageIsWhatAContainerWrote(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	spec := &agent.ContainerSpec{
		ID: "writer", Pod: agent.PodRef{Namespace: "default", Name: "p", UID: "u"}, Name: "c", Image: testImage,
		CgroupParent: m.cgroup, Security: &corev1.SecurityContext{}, LogPath: filepath.Join(t.TempDir(), "0.log"),
	}
	if err := r.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Remove(t.Context(), spec.ID) }()
	before, err := r.DiskUsage(t.Context(), spec.ID)
	if err != nil || before.Bytes > 64<<10 {
		t.Fatalf("before it runs: %+v, %v", before, err)
	}
	if err := r.Start(t.Context(), spec.ID); err != nil {
		t.Fatal(err)
	}
	code, err := r.Exec(t.Context(), spec.ID, &agent.ExecSpec{Command: []string{"write", "/tmp/file"}})
	if err != nil || code != 0 {
		t.Fatalf("write: %d, %v", code, err)
	}
	after, err := r.DiskUsage(t.Context(), spec.ID)
	if err != nil || after.Bytes <= before.Bytes || after.Inodes <= before.Inodes {
		t.Errorf("%+v, before it wrote %+v (%v)", after, before, err)
	}
}
