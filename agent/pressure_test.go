package agent_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/disk"
	"covey.dev/covey/agent/eviction"
	"covey.dev/covey/agent/runtimetest"
)

// full is a machine of which a test says how full it is: in percent left.
type full struct {
	mu   sync.Mutex
	left map[eviction.Signal]func() int64
}

func (f *full) set(signal eviction.Signal, left func() int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left[signal] = left
}

func (f *full) observe() (eviction.Observation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := eviction.Observation{}
	for signal, left := range f.left {
		o[signal] = eviction.Level{Available: left() << 30, Capacity: 100 << 30}
	}
	return o, nil
}

func setupFull(t *testing.T, more ...func(*fixture)) (*fixture, *full) {
	t.Helper()
	machine := &full{left: map[eviction.Signal]func() int64{}}
	f := setup(t, func(f *fixture) {
		for _, change := range more {
			change(f)
		}
		f.cfg.LookEvery, f.cfg.LookMost, f.cfg.Observe = 10*time.Millisecond, 20*time.Millisecond, machine.observe
		f.cfg.Housekeeping = agent.Housekeeping{EvictionHard: "memory.available<10%,nodefs.available<10%,imagefs.available<10%"}
	})
	return f, machine
}

func (f *fixture) condition(kind corev1.NodeConditionType, want corev1.ConditionStatus) func() bool {
	return func() bool {
		f.cluster.mu.Lock()
		defer f.cluster.mu.Unlock()
		for _, c := range f.cluster.node.Status.Conditions {
			if c.Type == kind {
				return c.Status == want
			}
		}
		return false
	}
}

// addUnequal runs two pods, of which one is more important than the other.
func (f *fixture) addUnequal() (important, other *corev1.Pod) {
	f.t.Helper()
	important, other = newPod("important", "sleep"), newPod("other", "sleep")
	priority := int32(100)
	important.Spec.Priority = &priority
	for _, p := range []*corev1.Pod{important, other} {
		f.add(p)
		f.await(p.UID, "ready", isReady)
	}
	return important, other
}

// TestMemoryPressureEvictsOnePodAfterTheOther has memory come back when one pod is gone.
func TestMemoryPressureEvictsOnePodAfterTheOther(t *testing.T) {
	f, machine := setupFull(t)
	important, other := f.addUnequal()
	machine.set(eviction.MemoryAvailable, func() int64 {
		for _, c := range f.containers() {
			if c.Pod.Name == "other" && c.State == agent.StateRunning {
				return 5
			}
		}
		return 50
	})
	f.await(other.UID, "evicted", evictedFor("The node was low on resource: memory. Threshold quantity: 10Gi, available: 5Gi. "))
	f.eventually("under pressure", f.condition(corev1.NodeMemoryPressure, corev1.ConditionTrue))
	for _, want := range []string{"node EvictionThresholdMet: Attempting to reclaim memory", "node NodeHasInsufficientMemory: ", "Evicted: The node was low on resource: memory."} {
		if !f.saw(want) {
			t.Errorf("no event %q: %q", want, f.cluster.events)
		}
	}
	pod := f.await(other.UID, "told", func(*corev1.Pod) bool { return true })
	if c := podCondition(pod, corev1.DisruptionTarget); c == nil || c.Reason != corev1.PodReasonTerminationByKubelet {
		t.Errorf("conditions %+v", pod.Status.Conditions)
	}
	late := newPod("late", "sleep")
	late.Status.QOSClass = corev1.PodQOSBestEffort
	f.add(late)
	f.await(late.UID, "rejected", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodFailed && p.Status.Reason == "Evicted" && p.Status.Message == "Pod was rejected: The node had condition: [MemoryPressure]. "
	})
	if p := f.await(important.UID, "there", func(*corev1.Pod) bool { return true }); !isReady(p) {
		t.Errorf("the pod of higher priority: %+v", p.Status)
	}
	for _, c := range f.containers() {
		if c.Pod.Name == "late" {
			t.Errorf("the rejected pod has a container: %+v", c)
		}
	}
	for _, p := range []*corev1.Pod{important, other, late} {
		f.remove(p.UID, 1)
	}
}

// TestAPodThatLeavesDuringALookSparesTheNext has memory come back after it was observed and before it is acted on.
func TestAPodThatLeavesDuringALookSparesTheNext(t *testing.T) {
	f, machine := setupFull(t)
	important, other := f.addUnequal()
	address := filepath.Join(f.cfg.DataDir, "pods", string(other.UID), "address") // the last that it gives back
	var observed atomic.Int32                                                     // since it has left
	machine.set(eviction.MemoryAvailable, func() int64 {
		if !f.saw("Evicted: ") {
			return 5
		}
		for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(address); os.IsNotExist(err) {
				break
			}
		}
		if _, err := os.Stat(address); err == nil {
			t.Error("the pod does not leave")
		}
		if observed.Add(1) <= 2 { // that is one look: it observes for the images first
			return 5
		}
		return 50
	})
	f.eventually("observed again", func() bool { return observed.Load() > 2 })
	if p := f.await(important.UID, "there", func(*corev1.Pod) bool { return true }); !isReady(p) {
		t.Errorf("the pod of higher priority: %+v", p.Status)
	}
	f.cluster.mu.Lock()
	evictions := slices.DeleteFunc(slices.Clone(f.cluster.events), func(e string) bool { return !strings.HasPrefix(e, "Evicted: ") })
	f.cluster.mu.Unlock()
	if len(evictions) != 1 {
		t.Errorf("evicted: %q", evictions)
	}
	f.remove(important.UID, 1)
	f.remove(other.UID, 1)
}

func podCondition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// TestMemoryIsLookedAtWhileAPodIsMeasured has a pod with a limit on local disk and so many files that measuring them does not end.
func TestMemoryIsLookedAtWhileAPodIsMeasured(t *testing.T) {
	measuring, measured := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(measuring) })
	f, machine := setupFull(t, func(f *fixture) {
		f.runtime.Fail = func(operation, _ string) error {
			if operation == "measure" {
				begin()
				<-measured
			}
			return nil
		}
	})
	t.Cleanup(func() { close(measured) })
	pod := newPod("p", "sleep")
	pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("1Mi")}
	f.add(pod)
	f.await(pod.UID, "ready", isReady)
	select {
	case <-measuring:
	case <-time.After(30 * time.Second):
		t.Fatal("the pod is not measured")
	}
	machine.set(eviction.MemoryAvailable, func() int64 { return 5 })
	f.await(pod.UID, "evicted", evictedFor("The node was low on resource: memory. "))
	f.remove(pod.UID, 1)
}

// TestUnusedImagesGoBeforePods has a full disk whose space is taken by images, then by a pod.
func TestUnusedImagesGoBeforePods(t *testing.T) {
	f, machine := setupFull(t)
	big, small := newPod("big", "sleep"), newPod("small", "sleep")
	big.Spec.Containers[0].Name = "b"
	f.add(big)
	f.add(small)
	f.await(big.UID, "ready", isReady)
	f.await(small.UID, "ready", isReady)
	f.runtime.SetDisk("b", disk.Usage{Bytes: 7 << 30})
	present := func(ref string) bool {
		_, err := f.runtime.Image(context.Background(), ref)
		return err == nil
	}
	f.runtime.AddImage(runtimetest.FakeImage{Image: agent.Image{Ref: "unused:1", CreatedAt: time.Now()}}) // too young for the usual collection
	f.runtime.AddImage(runtimetest.FakeImage{Image: agent.Image{Ref: "pinned:1", Pinned: true}})
	machine.set(eviction.ImageFSAvailable, func() int64 {
		if present("unused:1") {
			return 5
		}
		return 12
	})
	f.eventually("under pressure", f.condition(corev1.NodeDiskPressure, corev1.ConditionTrue))
	f.eventually("relieved", func() bool { return !present("unused:1") })
	if !present("pinned:1") || !present("docker.io/library/app:1") {
		t.Error("an image that is pinned or in use was removed")
	}
	if f.saw("Evicted: ") {
		t.Errorf("a pod was evicted though images sufficed: %q", f.cluster.events)
	}
	machine.set(eviction.NodeFSAvailable, func() int64 {
		for _, c := range f.containers() {
			if c.Pod.Name == "big" { // its files go with the dead container
				return 5
			}
		}
		return 50
	})
	pod := f.await(big.UID, "evicted", evictedFor("The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 5Gi. "+
		"Container b was using "))
	if !strings.HasPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://") {
		t.Errorf("what is told of the container that is gone: %+v", pod.Status.ContainerStatuses[0])
	}
	f.eventually("freed", func() bool {
		o, err := machine.observe()
		return err == nil && o[eviction.NodeFSAvailable].Available == 50<<30
	})
	if p := f.await(small.UID, "there", func(*corev1.Pod) bool { return true }); !isReady(p) {
		t.Errorf("the smaller pod: %+v", p.Status)
	}
	f.remove(big.UID, 1)
	f.remove(small.UID, 1)
}

// TestANodeThatIsCutOffEvictsNoMoreThanItHasTo has a pod that fills the disk, by its volume and by what its container writes, while no
// status can be stored. That it was evicted is known after a restart of covey, too.
func TestANodeThatIsCutOffEvictsNoMoreThanItHasTo(t *testing.T) {
	for name, restart := range map[string]bool{"without a restart": false, "with a restart": true} {
		t.Run(name, func(t *testing.T) { evictCutOff(t, restart) })
	}
}

func evictCutOff(t *testing.T, restart bool) {
	f, machine := setupFull(t)
	greedy, modest := newPod("greedy", "sleep"), newPod("modest", "sleep")
	greedy.Spec.Containers[0].Name = "g"
	greedy.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	f.runtime.SetDisk("g", disk.Usage{Bytes: 7 << 30})
	f.add(greedy)
	f.add(modest)
	f.await(greedy.UID, "ready", isReady)
	f.await(modest.UID, "ready", isReady)
	f.cluster.change(func() { f.cluster.cutOff = true })
	volume := filepath.Join(f.cfg.DataDir, "pods", string(greedy.UID), "volumes", "v")
	taken := func() bool {
		_, err := os.Stat(volume)
		return err == nil || slices.ContainsFunc(f.containers(), func(c agent.Container) bool { return c.Pod.Name == "greedy" })
	}
	machine.set(eviction.NodeFSAvailable, func() int64 {
		if taken() {
			return 5
		}
		return 50
	})
	f.eventually("free", func() bool { return !taken() })
	if restart {
		f.stop()
		f.start()
		other := f.add(newPod("other", "sleep")) // its start shows that the new agent is at work
		f.eventually("at work", func() bool {
			return slices.ContainsFunc(f.containers(), func(c agent.Container) bool { return c.Pod.UID == string(other) })
		})
		if taken() {
			t.Error("the pod goes on after the restart")
		}
		defer f.remove(other, 1)
	}
	f.cluster.change(func() { f.cluster.cutOff = false })
	p := f.await(greedy.UID, "evicted", evictedFor("The node was low on resource: ephemeral-storage. "))
	if podCondition(p, corev1.DisruptionTarget) == nil {
		t.Errorf("conditions %+v", p.Status.Conditions)
	}
	if p := f.await(modest.UID, "there", func(*corev1.Pod) bool { return true }); !isReady(p) {
		t.Errorf("the other pod: %+v", p.Status)
	}
	f.eventually("its address is free", func() bool {
		_, err := os.Stat(filepath.Join(f.cfg.DataDir, "pods", string(greedy.UID), "address"))
		return os.IsNotExist(err)
	})
	f.remove(greedy.UID, 1)
	f.remove(modest.UID, 1)
}

// TestUnfinishedPushesGoBeforePods has a disk that was filled by what somebody pushed.
func TestUnfinishedPushesGoBeforePods(t *testing.T) {
	var pushes, garbage atomic.Bool
	f, machine := setupFull(t, func(f *fixture) {
		f.runtime.Fail = func(operation, _ string) error {
			switch operation {
			case "prune pushes":
				pushes.Store(true)
			case "prune":
				garbage.Store(pushes.Load())
			}
			return nil
		}
	})
	pod := newPod("p", "sleep")
	f.add(pod)
	f.await(pod.UID, "ready", isReady)
	machine.set(eviction.ImageFSAvailable, func() int64 {
		if garbage.Load() {
			return 12
		}
		return 5
	})
	f.eventually("relieved", garbage.Load)
	if f.saw("Evicted: ") {
		t.Errorf("a pod was evicted: %q", f.cluster.events)
	}
	f.remove(pod.UID, 1)
}

// TestAPodBetweenTwoRunsIsEvicted has a pod that fills the disk, fails and is to be started again: what it uses, it goes on using.
func TestAPodBetweenTwoRunsIsEvicted(t *testing.T) {
	f, machine := setupFull(t)
	greedy, modest := newPod("greedy", "exit", "1"), newPod("modest", "sleep")
	greedy.Spec.Containers[0].Name = "g"
	f.runtime.SetDisk("g", disk.Usage{Bytes: 7 << 30})
	f.add(greedy)
	f.add(modest)
	f.await(modest.UID, "ready", isReady)
	f.await(greedy.UID, "waiting for its next run", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CrashLoopBackOff"
	})
	machine.set(eviction.NodeFSAvailable, func() int64 {
		if f.saw("Evicted: ") {
			return 50
		}
		return 5
	})
	f.await(greedy.UID, "evicted", evictedFor("The node was low on resource: ephemeral-storage. "))
	if p := f.await(modest.UID, "there", func(*corev1.Pod) bool { return true }); !isReady(p) {
		t.Errorf("the pod that runs: %+v", p.Status)
	}
	f.remove(greedy.UID, 1)
	f.remove(modest.UID, 1)
}

// TestImagesAreCollectedBetweenTheThresholds has six images, each of which takes 3 % of the disk.
func TestImagesAreCollectedBetweenTheThresholds(t *testing.T) {
	f, machine := setupFull(t)
	if err := f.runtime.RemoveImage(context.Background(), "docker.io/library/app:1"); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"a:1", "b:1", "c:1", "d:1", "e:1", "f:1"} {
		f.runtime.AddImage(runtimetest.FakeImage{Image: agent.Image{Ref: ref, CreatedAt: time.Now().Add(-time.Hour)}})
	}
	images := func() int64 {
		list, err := f.runtime.ListImages(context.Background())
		if err != nil {
			t.Error(err)
		}
		return int64(len(list))
	}
	machine.set(eviction.ImageFSAvailable, func() int64 { return 100 - 70 - 3*images() })
	f.eventually("down to the low threshold", func() bool { return images() == 3 })
	if f.saw("Failed to garbage collect") || f.saw("Pressure") {
		t.Errorf("events: %q", f.cluster.events)
	}
}
