package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/runtimetest"
	"covey.dev/covey/agent/sandbox"
)

// heard waits for an event that begins like this.
func (f *fixture) heard(event string) {
	f.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		f.cluster.mu.Lock()
		events, changed := slices.Clone(f.cluster.events), f.cluster.changed
		f.cluster.mu.Unlock()
		if slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, event) }) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			f.t.Fatalf("no event %q among %q", event, events)
		}
	}
}

// eventually waits for what does not show in the cluster.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("not %s; containers: %+v", what, f.containers())
		}
	}
}

func waiting(reason string) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == reason
	}
}

func TestACrashLoopIsSaid(t *testing.T) {
	f := setup(t, timeStandsStill)
	uid := f.add(newPod("a", "exit", "3"))
	pod := f.await(uid, "in a crash loop", waiting("CrashLoopBackOff"))
	s := pod.Status.ContainerStatuses[0]
	if end := s.LastTerminationState.Terminated; end == nil || end.ExitCode != 3 || s.RestartCount != 1 {
		t.Errorf("last state %+v after %d restarts", end, s.RestartCount)
	}
	f.heard("BackOff: Back-off restarting failed container c in pod a_default(" + string(uid) + ")")
	f.remove(uid, 0)
}

func TestACommandThatIsNotThereIsAStartError(t *testing.T) {
	f := setup(t)
	p := newPod("a", "nonsense")
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	uid := f.add(p)
	pod := f.await(uid, "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	end := pod.Status.ContainerStatuses[0].State.Terminated
	if end == nil || end.Reason != "StartError" || end.ExitCode != 128 || !strings.Contains(end.Message, "not found") {
		t.Errorf("%+v", end)
	}
	f.remove(uid, 0)
}

func TestTheGracePeriodEndsWithAKill(t *testing.T) {
	f := setup(t)
	p := newPod("a", "stubborn")
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	begun := time.Now()
	f.remove(uid, 1)
	if took := time.Since(begun); took < time.Second {
		t.Errorf("killed after %s, before its grace was up", took)
	}
	f.heard("Killing: Stopping container c")
}

func TestAForcedDeletionDoesNotWait(t *testing.T) {
	f := setup(t)
	p := newPod("a", "stubborn")
	grace := int64(600)
	p.Spec.TerminationGracePeriodSeconds = &grace
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	f.edit(uid, func(p *corev1.Pod) {
		at := metav1.NewTime(time.Now().Add(10 * time.Minute))
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	})
	f.heard("Killing")
	f.cluster.change(func() { delete(f.cluster.pods, string(uid)) })
	f.eventually("removed", func() bool { return len(f.containers()) == 0 })
}

func TestStoppingCoveyCutsNoGraceShort(t *testing.T) {
	f := setup(t)
	p := newPod("a", "stubborn")
	grace := int64(600)
	p.Spec.TerminationGracePeriodSeconds = &grace
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	f.edit(uid, func(p *corev1.Pod) {
		at := metav1.NewTime(time.Now().Add(10 * time.Minute))
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	})
	f.heard("Killing")
	f.stop()
	if list := f.containers(); len(list) != 1 || list[0].State != agent.StateRunning {
		t.Errorf("%+v", list)
	}
	f.cluster.change(func() { delete(f.cluster.pods, string(uid)) })
	f.start()
	f.eventually("removed", func() bool { return len(f.containers()) == 0 })
}

func TestALivenessProbeThatFailsRestarts(t *testing.T) {
	f := setup(t)
	p := newPod("a", "sleep")
	p.Spec.Containers[0].LivenessProbe = &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"exit", "1"}}},
		FailureThreshold: 1, PeriodSeconds: 1, TimeoutSeconds: 1,
	}
	uid := f.add(p)
	f.heard("Unhealthy: Liveness probe failed")
	f.heard("Killing: Container c failed liveness probe, will be restarted")
	f.await(uid, "restarted", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount == 1
	})
	f.remove(uid, 1)
}

// TestProbesFollowTheMachineToItsNewAddress is about a pod on the machine's network.
func TestProbesFollowTheMachineToItsNewAddress(t *testing.T) {
	var address atomic.Pointer[netip.Prefix]
	move := func(to string) { p := netip.MustParsePrefix(to); address.Store(&p) }
	move("127.0.0.1/8")
	f := setup(t, func(f *fixture) {
		f.cfg.Addresses = func() []netip.Prefix { return []netip.Prefix{*address.Load()} }
	})
	asked := make(chan string)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.Host:
		case <-r.Context().Done():
		}
	}))
	_ = server.Listener.Close()
	var err error
	if server.Listener, err = net.Listen("tcp", "0.0.0.0:0"); err != nil {
		t.Fatal(err)
	}
	server.Start()
	defer server.Close()
	port := server.Listener.Addr().(*net.TCPAddr).Port
	probed := func(at string) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for {
			select {
			case host := <-asked:
				if host == fmt.Sprintf("%s:%d", at, port) {
					return
				}
			case <-deadline:
				t.Fatalf("the probe did not come to %s", at)
			}
		}
	}
	p := newPod("a", "sleep")
	p.Spec.HostNetwork = true
	p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt(port)}},
		PeriodSeconds: 1, TimeoutSeconds: 1,
	}
	uid := f.add(p)
	probed("127.0.0.1")
	move("127.0.0.2/8")
	f.edit(uid, func(p *corev1.Pod) { p.Annotations = map[string]string{"look": "again"} })
	probed("127.0.0.2")
	f.remove(uid, 1)
}

// TestOldContainersLeaveNoFiles looks at what is kept of runs that came before the last two.
func TestOldContainersLeaveNoFiles(t *testing.T) {
	f := setup(t)
	f.runtime.AddImage(runtimetest.FakeImage{Image: agent.Image{Ref: "docker.io/library/app:2"}})
	p := newPod("a", "sleep")
	p.Spec.Containers[0].TerminationMessagePath = "/dev/termination-log"
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	for i, image := range []string{"app:2", "app:1"} {
		f.edit(uid, func(p *corev1.Pod) { p.Spec.Containers[0].Image = image })
		f.await(uid, "restarted", restarted(int32(i+1)))
	}
	for _, pattern := range []string{"logs/c/0.log*", "messages/c/0"} {
		f.eventually("rid of "+pattern, func() bool {
			left, _ := filepath.Glob(filepath.Join(f.cfg.DataDir, "pods", string(uid), pattern))
			return len(left) == 0
		})
	}
	if _, err := os.Stat(filepath.Join(f.cfg.DataDir, "pods", string(uid), "messages/c/1")); err != nil {
		t.Errorf("of the run before: %v", err)
	}
	f.remove(uid, 1)
}

func TestAnotherImageRestartsTheContainer(t *testing.T) {
	f := setup(t)
	f.runtime.AddImage(runtimetest.FakeImage{Image: agent.Image{Ref: "docker.io/library/app:2"}})
	p := newPod("a", "sleep")
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	f.edit(uid, func(p *corev1.Pod) { p.Spec.Containers[0].Image = "app:2" })
	pod := f.await(uid, "restarted", restarted(1))
	if id := pod.Status.ContainerStatuses[0].ImageID; !strings.HasPrefix(id, "docker.io/library/app@sha256:") {
		t.Error(id)
	}
	f.heard("Killing: Container c definition changed, will be restarted")
	f.remove(uid, 1)
}

func TestAChangedConfigMapReachesTheVolume(t *testing.T) {
	f := setup(t)
	f.cluster.change(func() { f.cluster.maps["settings"] = &corev1.ConfigMap{Data: map[string]string{"a": "1"}} })
	p := newPod("a", "sleep")
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}}
	uid := f.add(p)
	f.await(uid, "ready", isReady)
	file := filepath.Join(f.cfg.DataDir, "pods", string(uid), "volumes", "v", "a")
	is := func(want string) func() bool {
		return func() bool { data, _ := os.ReadFile(file); return string(data) == want }
	}
	f.eventually("written", is("1"))
	f.cluster.change(func() { f.cluster.maps["settings"] = &corev1.ConfigMap{Data: map[string]string{"a": "2"}} })
	var tell func(namespace, name string)
	f.eventually("followed", func() bool {
		f.cluster.mu.Lock()
		defer f.cluster.mu.Unlock()
		tell = f.cluster.configChanged
		return tell != nil
	})
	tell("default", "settings")
	f.eventually("written anew", is("2"))
	info, err := os.Stat(filepath.Join(f.cfg.DataDir, "pods"))
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("others may look into the pods' directories: %v, %v", info.Mode(), err)
	}
	f.remove(uid, 1)
}

// TestARestartedAgentTakesUpAPodWhoseConfigMapIsGone has the pod go on as it would have without the restart.
func TestARestartedAgentTakesUpAPodWhoseConfigMapIsGone(t *testing.T) {
	probed := make(chan struct{}, 1)
	f := setup(t, func(f *fixture) {
		f.runtime.Fail = func(operation, _ string) error {
			if operation == "exec" {
				select {
				case probed <- struct{}{}:
				default:
				}
			}
			return nil
		}
	})
	f.cluster.change(func() { f.cluster.maps["settings"] = &corev1.ConfigMap{Data: map[string]string{"a": "1"}} })
	p := newPod("a", "sleep")
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}}
	c := &p.Spec.Containers[0]
	c.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/settings"}}
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"exit", "0"}}}, PeriodSeconds: 1, TimeoutSeconds: 60}
	uid := f.add(p)
	before := f.await(uid, "ready", isReady)
	f.stop()
	f.cluster.change(func() { delete(f.cluster.maps, "settings") })
	f.cluster.unready[string(uid)] = 0
	select {
	case <-probed:
	default:
	}
	f.start()
	f.heard(`FailedMount: MountVolume.SetUp failed for volume "v"`)
	select {
	case <-probed:
	case <-time.After(30 * time.Second):
		t.Error("the pod is not probed any more")
	}
	f.cluster.mu.Lock()
	if n := f.cluster.unready[string(uid)]; n > 0 {
		t.Errorf("the pod was called not ready %d times", n)
	}
	f.cluster.mu.Unlock()
	kill(t, f, before.Status.ContainerStatuses[0].ContainerID, syscall.SIGKILL)
	f.await(uid, "started again", func(p *corev1.Pod) bool { return restarted(1)(p) && isReady(p) })
	file := filepath.Join(f.cfg.DataDir, "pods", string(uid), "volumes", "v", "a")
	if data, err := os.ReadFile(file); string(data) != "1" {
		t.Errorf("its volume has %q, %v", data, err)
	}
	f.remove(uid, 1)
}

// TestARestartedAgentThatCannotTakeAPodUpTriesAgain has a pod go on, ready as it was, and what ends of it told, until it is taken up.
func TestARestartedAgentThatCannotTakeAPodUpTriesAgain(t *testing.T) {
	f := setup(t)
	p := newPod("a", "sleep")
	second := p.Spec.Containers[0]
	second.Name = "d"
	p.Spec.Containers = append(p.Spec.Containers, second)
	uid := f.add(p)
	before := f.await(uid, "ready", isReady)
	f.stop()
	note := filepath.Join(f.cfg.StateDir, "pods", string(uid), "before")
	if err := errors.Join(os.Remove(note), os.Mkdir(note, 0o700)); err != nil {
		t.Fatal(err)
	}
	f.cluster.unready[string(uid)] = 0
	f.start()
	f.heard("FailedCreatePodSandBox")
	other := f.add(newPod("b", "sleep")) // its start shows that the new agent is at work
	f.await(other, "ready", isReady)
	f.cluster.mu.Lock()
	if n := f.cluster.unready[string(uid)]; n > 0 {
		t.Errorf("the pod was called not ready %d times", n)
	}
	f.cluster.mu.Unlock()
	kill(t, f, before.Status.ContainerStatuses[1].ContainerID, syscall.SIGKILL)
	told := f.await(uid, "told of", func(p *corev1.Pod) bool { return p.Status.ContainerStatuses[1].State.Running == nil })
	if s := told.Status.ContainerStatuses[0]; s.Started == nil || !*s.Started || !s.Ready {
		t.Errorf("the container that runs: %+v", s)
	}
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	f.await(uid, "taken up", func(p *corev1.Pod) bool { return p.Status.ContainerStatuses[1].RestartCount == 1 && isReady(p) })
	f.remove(uid, 1)
	f.remove(other, 1)
}

// TestARestartedAgentTakesUpWhatWasCalledNotStarted has no startup probe that could say otherwise.
func TestARestartedAgentTakesUpWhatWasCalledNotStarted(t *testing.T) {
	f := setup(t)
	uid := f.add(newPod("a", "sleep"))
	f.await(uid, "ready", isReady)
	f.stop()
	f.edit(uid, func(p *corev1.Pod) {
		s := &p.Status.ContainerStatuses[0]
		s.Started, s.Ready = new(bool), false
		podCondition(p, corev1.PodReady).Status = corev1.ConditionFalse
	})
	f.start()
	f.await(uid, "ready again", isReady)
	f.remove(uid, 1)
}

func TestAnImageThatIsLoadedIsWaitedForNoLonger(t *testing.T) {
	f := setup(t, timeStandsStill)
	p := newPod("a", "sleep")
	p.Spec.Containers[0].Image = "later:1"
	uid := f.add(p)
	f.await(uid, "without its image", waiting("ErrImagePull"))
	f.runtime.Pullable["docker.io/library/later:1"] = runtimetest.FakeImage{}
	server := httptest.NewServer(f.agent.Handler())
	defer server.Close()
	resp, err := http.Post(server.URL+"/images/pull?ref=later:1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `{"image":`) {
		t.Fatalf("%s, %v", body, err)
	}
	f.await(uid, "ready", isReady)
	f.remove(uid, 1)
}

// TestAPodIsAttachedOnlyOnceItsAddressIsNoted has a disk that takes no note: after a restart, a new pod would get the address too.
func TestAPodIsAttachedOnlyOnceItsAddressIsNoted(t *testing.T) {
	p := newPod("a", "sleep")
	f := setup(t, func(f *fixture) {
		if err := os.MkdirAll(filepath.Join(f.cfg.DataDir, "pods", string(p.UID), "address"), 0o750); err != nil {
			t.Fatal(err)
		}
	})
	uid := f.add(p)
	f.heard("FailedCreatePodSandBox")
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if link.Type() == "veth" {
			t.Errorf("the pod is attached by %s", link.Attrs().Name)
		}
	}
	f.remove(uid, 1)
}

// TestAfterARebootEverythingBeginsAnew plays a reboot: processes, namespaces and what is in the state directory are gone.
func TestAfterARebootEverythingBeginsAnew(t *testing.T) {
	f := setup(t)
	p := newPod("a", "sleep")
	p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "app:1", Command: []string{"exit", "0"}}}
	uid := f.add(p)
	before := f.await(uid, "ready", isReady)
	f.stop()
	for _, c := range f.containers() {
		if c.State == agent.StateRunning {
			if err := f.runtime.Signal(context.Background(), c.ID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.eventually("ended", func() bool {
		return !slices.ContainsFunc(f.containers(), func(c agent.Container) bool { return c.State == agent.StateRunning })
	})
	f.forget(uid)
	f.start()
	after := f.await(uid, "started again", restarted(1))
	if after.Status.PodIP != before.Status.PodIP {
		t.Errorf("address %s, before %s", after.Status.PodIP, before.Status.PodIP)
	}
	if n := after.Status.InitContainerStatuses[0].RestartCount; n != 1 {
		t.Errorf("the init container ran %d times more", n)
	}
	f.remove(uid, 1)
}

func TestLogsAndExecSayWhatIsWrong(t *testing.T) {
	f := setup(t, timeStandsStill)
	uid := f.add(newPod("a", "echo", "hello"))
	f.await(uid, "in a crash loop", waiting("CrashLoopBackOff"))
	server := httptest.NewServer(f.agent.Handler())
	defer server.Close()
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/containerLogs/default/a/c", 200, "hello\n"},
		{"/containerLogs/default/a/c?previous=true", 200, "hello\n"},
		{"/containerLogs/default/a/c?tailLines=-1", 400, "tailLines"},
		{"/containerLogs/default/a/d", 400, "container d is not valid for pod a"},
		{"/containerLogs/default/b/c", 404, `pods \"b\" not found`},
		{"/exec/default/a/c?command=x&output=1", 400, `container \"c\" in pod \"a\" is not running`},
		{"/pods", 404, "NotFound"},
	} {
		resp, err := http.Get(server.URL + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.code || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.path, resp.StatusCode, body, c.code, c.want)
		}
	}
	f.remove(uid, 0)
}

// forget removes what a reboot takes.
func (f *fixture) forget(uid types.UID) {
	f.t.Helper()
	if err := sandbox.Unpin(filepath.Join(f.cfg.StateDir, "pods", string(uid), "ns")); err != nil {
		f.t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(f.cfg.StateDir, "pods")); err != nil {
		f.t.Fatal(err)
	}
}

func TestASidecarServesUntilTheMainContainerHasEnded(t *testing.T) {
	var mu sync.Mutex
	var told []string
	f := setup(t, func(f *fixture) {
		f.runtime.Fail = func(operation, id string) error {
			if operation == "signal" {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, f.beside(id))
			}
			return nil
		}
	})
	signalled := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return told[2:] // the first two are of this test
	}
	always := corev1.ContainerRestartPolicyAlways
	pod := newPod("job", "sleep")
	pod.Spec.RestartPolicy, pod.Spec.TerminationGracePeriodSeconds = corev1.RestartPolicyNever, new(int64(30))
	for _, name := range []string{"first", "second"} {
		sidecar := pod.Spec.Containers[0]
		sidecar.Name, sidecar.RestartPolicy = name, &always
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, sidecar)
	}
	uid := f.add(pod)
	running := f.await(uid, "ready", isReady)
	for _, s := range running.Status.InitContainerStatuses {
		if !s.Ready || s.Started == nil || !*s.Started {
			t.Errorf("sidecar %s is not ready: %+v", s.Name, s)
		}
	}

	// One that dies is started again, whatever the pod's policy says.
	kill(t, f, running.Status.InitContainerStatuses[0].ContainerID, syscall.SIGKILL)
	f.await(uid, "ready with a new sidecar", func(p *corev1.Pod) bool {
		return p.Status.InitContainerStatuses[0].RestartCount == 1 && isReady(p)
	})

	// A restarted agent takes all up.
	f.stop()
	f.start()
	f.await(uid, "ready", isReady)

	kill(t, f, running.Status.ContainerStatuses[0].ContainerID, syscall.SIGTERM)
	done := f.await(uid, "done", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	for _, s := range slices.Concat(done.Status.ContainerStatuses, done.Status.InitContainerStatuses) {
		if s.State.Terminated == nil {
			t.Errorf("the pod has failed while container %s goes on: %+v", s.Name, s.State)
		}
	}
	if got := signalled(); !slices.Equal(got, []string{"second beside [first]", "first beside []"}) {
		t.Errorf("the sidecars were told to end: %q", got)
	}
	f.remove(uid, 1)
}

// beside names a container and those that run beside it.
func (f *fixture) beside(id string) string {
	name, others := "", []string{}
	list, _ := f.runtime.List(context.Background())
	for _, c := range list {
		if c.ID == id {
			name = c.Name
		} else if c.State == agent.StateRunning {
			others = append(others, c.Name)
		}
	}
	return fmt.Sprintf("%s beside %s", name, others)
}

func kill(t *testing.T, f *fixture, id string, sig syscall.Signal) {
	t.Helper()
	if err := f.runtime.Signal(context.Background(), strings.TrimPrefix(id, "containerd://"), sig); err != nil {
		t.Fatal(err)
	}
}
