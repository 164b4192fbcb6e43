package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"covey.dev/covey/agent/disk"
)

// evicted is wanted of pods that had to go.
func evictedFor(message string) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool {
		s := p.Status
		return s.Phase == corev1.PodFailed && s.Reason == "Evicted" && strings.Contains(s.Message, message) &&
			len(s.ContainerStatuses) == 1 && s.ContainerStatuses[0].State.Terminated != nil
	}
}

func TestAPodThatFillsItsEmptyDirIsEvicted(t *testing.T) {
	f := setup(t, func(f *fixture) { f.cfg.LookEvery = 10 * time.Millisecond })
	p := newPod("a", "sleep")
	limit := resource.MustParse("1Mi")
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}}}
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	volume := filepath.Join(f.cfg.DataDir, "pods", string(uid), "volumes", "v")
	if err := os.WriteFile(filepath.Join(volume, "file"), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const message = `Usage of EmptyDir volume "v" exceeds the limit "1Mi". `
	f.await(uid, "evicted", evictedFor(message))
	if !f.saw("Evicted: " + message) {
		t.Errorf("no event: %q", f.cluster.events)
	}
	f.eventually("released", func() bool {
		_, err := os.Stat(volume)
		return os.IsNotExist(err)
	})
	f.stop()
	f.start()
	other := f.add(newPod("b", "sleep")) // its start shows that the new agent is at work
	f.await(other, "ready", isReady)
	f.await(uid, "evicted still", evictedFor(message))
	f.remove(uid, 1)
	f.remove(other, 1)
}

// TestAPodThatFillsCoveysFilesIsEvicted fills the files that covey makes for a container, and that it may write to.
func TestAPodThatFillsCoveysFilesIsEvicted(t *testing.T) {
	f := setup(t, func(f *fixture) { f.cfg.LookEvery = 10 * time.Millisecond })
	for _, file := range []string{"etc/hosts", "messages/c/0"} {
		p := newPod("a", "sleep")
		c := &p.Spec.Containers[0]
		c.TerminationMessagePath = "/dev/termination-log"
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("1Mi")}
		uid := f.add(p)
		f.await(uid, "ready", isReady)
		path := filepath.Join(f.cfg.DataDir, "pods", string(uid), file)
		if err := os.WriteFile(path, []byte(strings.Repeat("w", 2<<20)), 0o600); err != nil {
			t.Fatal(err)
		}
		f.await(uid, "evicted", evictedFor("Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "))
		f.eventually("free again", func() bool {
			info, err := os.Stat(path)
			return os.IsNotExist(err) || err == nil && info.Size() <= 4096
		})
		f.remove(uid, 1)
	}
}

func TestAPodThatWritesTooMuchIsEvicted(t *testing.T) {
	f := setup(t, func(f *fixture) { f.cfg.LookEvery = 10 * time.Millisecond })
	p, other := newPod("a", "sleep"), newPod("b", "sleep")
	p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("1Mi")}
	f.add(other)
	uid := f.add(p)
	f.await(other.UID, "ready", isReady)
	f.await(uid, "ready", isReady)
	f.runtime.SetDisk("c", disk.Usage{Bytes: 2 << 20})
	f.await(uid, "evicted", evictedFor("Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "))
	if q := f.await(other.UID, "there", func(*corev1.Pod) bool { return true }); !isReady(q) {
		t.Errorf("a pod without a limit: %+v", q.Status)
	}
	f.remove(uid, 1)
	f.remove(other.UID, 1)
}
