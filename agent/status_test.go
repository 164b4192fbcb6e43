package agent

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// said puts what a user sees of a container's state into one line.
func said(s corev1.ContainerStatus) string {
	line := ""
	switch {
	case s.State.Waiting != nil:
		line = "waiting " + s.State.Waiting.Reason
	case s.State.Running != nil:
		line = "running"
	case s.State.Terminated != nil:
		line = "terminated " + s.State.Terminated.Reason
	}
	if s.LastTerminationState.Terminated != nil {
		line += ", before " + s.LastTerminationState.Terminated.Reason
	}
	if s.Ready {
		line += ", ready"
	}
	return line
}

func TestPodStatus(t *testing.T) {
	never := func(v *view) { v.pod.Spec.RestartPolicy = corev1.RestartPolicyNever }
	for _, c := range []struct {
		name  string
		view  func(*view)
		phase corev1.PodPhase
		want  string
	}{
		{"new", func(v *view) { v.setUp = false }, corev1.PodPending, "waiting ContainerCreating"},
		{"without its image", func(v *view) { v.problems["c"] = &problem{reason: "ErrImagePull"} }, corev1.PodPending, "waiting ErrImagePull"},
		{"made", func(v *view) { v.has("c", 0, StateCreated, 0, 0) }, corev1.PodPending, "waiting ContainerCreating"},
		{"running", func(v *view) { v.has("c", 0, StateRunning, 0, 0) }, corev1.PodRunning, "running"},
		{"ready", func(v *view) { v.verdicts[v.has("c", 0, StateRunning, 0, 0).ID] = verdict{started: true, ready: true} }, corev1.PodRunning, "running, ready"},
		{"stopping", func(v *view) {
			id := v.has("c", 0, StateRunning, 0, 0).ID
			v.verdicts[id], v.stopping[id] = verdict{started: true, ready: true}, noon
		}, corev1.PodRunning, "running"},
		{"ended, about to start", func(v *view) { v.has("c", 0, StateExited, 1, 0) }, corev1.PodRunning, "terminated Error"},
		{"ended twice", func(v *view) { v.has("c", 1, StateExited, 1, 0) }, corev1.PodRunning, "waiting CrashLoopBackOff, before Error"},
		{"well, but again", func(v *view) { v.has("c", 1, StateExited, 0, 0) }, corev1.PodRunning, "waiting CrashLoopBackOff, before Completed"},
		{"killed for its memory", func(v *view) { never(v); v.has("c", 0, StateExited, 137, 0).OOMKilled = true }, corev1.PodFailed, "terminated OOMKilled"},
		{"done", func(v *view) { never(v); v.has("c", 0, StateExited, 0, 0) }, corev1.PodSucceeded, "terminated Completed"},
		{"failed", func(v *view) { never(v); v.has("c", 0, StateExited, 2, 0) }, corev1.PodFailed, "terminated Error"},
		{"not startable", func(v *view) {
			c := v.has("c", 1, StateExited, 128, 0)
			v.failed[c.ID] = startFailure{message: "no such file"}
		}, corev1.PodRunning, "waiting CrashLoopBackOff, before StartError"},
		{"not startable, the first time", func(v *view) {
			c := v.has("c", 0, StateExited, 128, 0)
			v.failed[c.ID] = startFailure{message: "no such file"}
		}, corev1.PodRunning, "waiting RunContainerError, before StartError"},
		{"not startable and not again", func(v *view) {
			never(v)
			v.failed[v.has("c", 0, StateExited, 128, 0).ID] = startFailure{message: "no such file"}
		}, corev1.PodFailed, "terminated StartError"},
		{"behind an init container", withInit, corev1.PodPending, "waiting PodInitializing"},
		{"behind a failed one", func(v *view) { withInit(v); never(v); v.has("i", 0, StateExited, 1, 0) }, corev1.PodFailed, "waiting PodInitializing"},
		{"after a reboot", func(v *view) { withInit(v); v.before[v.has("c", 3, StateExited, 255, 0).ID] = true }, corev1.PodPending, "waiting PodInitializing, before Error"},
		{"too late", func(v *view) {
			seconds, begun := int64(10), metav1.NewTime(noon.Add(-time.Minute))
			v.pod.Spec.ActiveDeadlineSeconds, v.pod.Status.StartTime = &seconds, &begun
			v.has("c", 0, StateExited, 143, 0)
		}, corev1.PodFailed, "terminated Error"},
		{"too late, and being stopped", func(v *view) {
			seconds, begun := int64(10), metav1.NewTime(noon.Add(-time.Minute))
			v.pod.Spec.ActiveDeadlineSeconds, v.pod.Status.StartTime = &seconds, &begun
			v.has("c", 0, StateRunning, 0, 0)
		}, corev1.PodRunning, "running"},
		{"evicted beside a container that has ended", func(v *view) {
			v.pod.Spec.Containers = append(v.pod.Spec.Containers, corev1.Container{Name: "d", Image: "app:1"})
			v.evicted = &evicted{}
			v.has("c", 0, StateExited, 143, 0)
			v.has("d", 0, StateRunning, 0, 0)
		}, corev1.PodRunning, "terminated Error"},
		{"evicted while an init container runs", func(v *view) {
			withInit(v)
			v.evicted = &evicted{}
			v.has("i", 0, StateRunning, 0, 0)
		}, corev1.PodPending, "waiting PodInitializing"},
		{"rejected", func(v *view) { v.evicted = &evicted{} }, corev1.PodFailed, "waiting ContainerCreating"},
		{"behind a failed init container, a sidecar still runs", func(v *view) {
			withInit(v)
			never(v)
			always := corev1.ContainerRestartPolicyAlways
			v.pod.Spec.InitContainers[0].RestartPolicy = &always
			v.verdicts[v.has("i", 0, StateRunning, 0, 0).ID] = verdict{started: true}
			v.has("j", 0, StateExited, 1, 0)
		}, corev1.PodPending, "waiting PodInitializing"},
		{"done, an ephemeral container still runs", func(v *view) {
			never(v)
			v.pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e", Image: "app:1"}}}
			v.has("c", 0, StateExited, 0, 0)
			v.has("e", 0, StateRunning, 0, 0)
		}, corev1.PodRunning, "terminated Completed"},
		{"ended long ago, its records lost", func(v *view) {
			v.pod.Status.Phase = corev1.PodSucceeded
			v.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}}}
		}, corev1.PodSucceeded, "terminated Completed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := podStatus(aView(c.view), "192.0.2.1")
			if got := said(s.ContainerStatuses[0]); s.Phase != c.phase || got != c.want {
				t.Errorf("%s: %s, want %s: %s", s.Phase, got, c.phase, c.want)
			}
		})
	}
}

// TestAnEvictedPodFailsOnceItIsStopped also has it say at once that it is to go.
func TestAnEvictedPodFailsOnceItIsStopped(t *testing.T) {
	v := aView(func(v *view) { v.evicted = &evicted{message: "low on memory", pressure: true} })
	c := v.has("c", 0, StateRunning, 0, 0)
	for _, step := range []struct {
		state  ContainerState
		phase  corev1.PodPhase
		reason string
	}{{StateRunning, corev1.PodRunning, ""}, {StateExited, corev1.PodFailed, "Evicted"}} {
		c.State = step.state
		s := podStatus(v, "192.0.2.1")
		if s.Phase != step.phase || s.Reason != step.reason || (s.Message != "") != (step.reason != "") {
			t.Errorf("%s: the pod is %s, %q, %q, want %s, %q", step.state, s.Phase, s.Reason, s.Message, step.phase, step.reason)
		}
		if d := condition(&s, corev1.DisruptionTarget); d.Status != corev1.ConditionTrue || d.Message != "low on memory" {
			t.Errorf("%s: %+v", step.state, d)
		}
	}
}

func condition(s *corev1.PodStatus, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func TestConditionsKeepTheirTimes(t *testing.T) {
	v := aView(nil)
	id := v.has("c", 0, StateRunning, 0, 0).ID
	first := podStatus(v, "192.0.2.1")
	if ready := condition(&first, corev1.PodReady); ready.Status != corev1.ConditionFalse || ready.Reason != "ContainersNotReady" || ready.Message != "containers with unready status: [c]" {
		t.Errorf("%+v", ready)
	}
	// The stored pod does not show it yet when something else changes.
	v.last, v.now = &first, noon.Add(time.Minute)
	v.verdicts[id] = verdict{started: true, ready: true}
	second := podStatus(v, "192.0.2.1")
	for kind, want := range map[corev1.PodConditionType]time.Time{corev1.PodInitialized: noon, corev1.PodReadyToStartContainers: noon, corev1.PodReady: v.now, corev1.ContainersReady: v.now} {
		if c := condition(&second, kind); c.Status != corev1.ConditionTrue || !c.LastTransitionTime.Time.Equal(want) {
			t.Errorf("%s: %s since %s, want since %s", kind, c.Status, c.LastTransitionTime, want)
		}
	}
	if !second.StartTime.Equal(first.StartTime) {
		t.Errorf("the pod began at %s, before at %s", second.StartTime, first.StartTime)
	}
}

// TestOthersConditionsAreKept is about what controllers write into the status.
func TestOthersConditionsAreKept(t *testing.T) {
	v := aView(func(v *view) {
		v.pod.Status.QOSClass = corev1.PodQOSBurstable
		v.pod.Status.Conditions = []corev1.PodCondition{{Type: "example.com/gate", Status: corev1.ConditionFalse}}
		v.last = &corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: "example.com/gate", Status: corev1.ConditionTrue}}}
	})
	s := podStatus(v, "192.0.2.1")
	if c := condition(&s, "example.com/gate"); c.Status != corev1.ConditionFalse || s.QOSClass != corev1.PodQOSBurstable {
		t.Errorf("%+v, %s", c, s.QOSClass)
	}
}

// TestAPodIsReadyAgainWhenItsNodeIsBack that the leader said was not, while the node was lost. Nothing else is done with it.
func TestAPodIsReadyAgainWhenItsNodeIsBack(t *testing.T) {
	for name, restarted := range map[string]bool{"covey went on": false, "covey was restarted": true} {
		v := aView(func(v *view) { v.verdicts[v.has("c", 0, StateRunning, 0, 0).ID] = verdict{started: true, ready: true} })
		said := podStatus(v, "192.0.2.1")
		v.pod.ResourceVersion, v.pod.Status = "7", *said.DeepCopy()
		v.last, v.now = &said, noon.Add(time.Minute)
		before := decide(v)
		setCondition(&v.pod.Status, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "NodeNotReady"})
		last := sent{status: said, revision: 6}
		if restarted {
			v.last, last = nil, sent{}
		}
		again := podStatus(v, "192.0.2.1")
		if c := condition(&again, corev1.PodReady); c.Status != corev1.ConditionTrue || c.Reason != "" {
			t.Errorf("%s: it is said to be %+v", name, c)
		}
		if !restarted && (!last.replaced(v.pod) || !equality.Semantic.DeepEqual(again, said)) {
			t.Errorf("%s: what was said is not said again: %+v", name, again)
		}
		if after := decide(v); after.verb != rest || before.verb != rest {
			t.Errorf("%s: it is to %v, before it was to %v", name, after.verb, before.verb)
		}
	}
}

// recorder is an Upstream that stores a status when it is let to.
type recorder struct {
	Upstream
	gate   chan struct{}
	mu     sync.Mutex
	calls  int
	called sync.Cond
	phases []corev1.PodPhase
}

func newRecorder() *recorder {
	r := &recorder{gate: make(chan struct{})}
	r.called.L = &r.mu
	return r
}

func (r *recorder) WriteStatus(_ context.Context, updates []PodStatus) (uint64, error) {
	r.mu.Lock()
	r.calls++
	r.called.Broadcast()
	r.mu.Unlock()
	<-r.gate
	r.phases = append(r.phases, updates[0].Status.Phase)
	return uint64(len(r.phases)), nil
}

func (r *recorder) awaitCalls(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.calls < n {
		r.called.Wait()
	}
}

func TestStatusesAreSentWhenTheyChange(t *testing.T) {
	up := newRecorder()
	s := newStatuses(up, nil)
	ref, pod := PodRef{UID: "u"}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}}
	a := PodStatus{ref, corev1.PodStatus{Phase: corev1.PodPending}}
	b := PodStatus{ref, corev1.PodStatus{Phase: corev1.PodRunning}}
	s.put(a, pod)
	sent := make(chan error)
	send := func() { go func() { sent <- s.send(t.Context()) }() }
	send()
	up.gate <- struct{}{}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	s.put(b, pod)
	send()
	up.awaitCalls(2)
	s.put(a, pod) // it is as before again, while b is under way: a is to come last
	up.gate <- struct{}{}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	send()
	up.gate <- struct{}{}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	s.put(a, pod)
	if err := s.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := up.phases; len(got) != 3 || got[2] != corev1.PodPending {
		t.Errorf("stored %v, want Pending last and nothing twice", got)
	}
}

// A message that was overtaken by a later one, on its way from a node that was cut off, is not the last word.
func TestAStatusThatWasReplacedIsSentAgain(t *testing.T) {
	up := newRecorder()
	close(up.gate)
	s := newStatuses(up, nil)
	running := PodStatus{PodRef{UID: "u"}, corev1.PodStatus{Phase: corev1.PodRunning}}
	stored := func(revision string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: revision}, Status: corev1.PodStatus{Phase: phase}}
	}
	for _, c := range []struct {
		stored *corev1.Pod
		writes int
	}{
		{stored("1", corev1.PodPending), 1},
		{stored("1", corev1.PodPending), 1}, // what was written is not seen yet
		{stored("2", corev1.PodRunning), 1},
		{stored("3", corev1.PodRunning), 1}, // something else of the pod was written
		{stored("4", corev1.PodPending), 2},
		{stored("5", corev1.PodRunning), 2},
	} {
		s.put(running, c.stored)
		if err := s.send(t.Context()); err != nil {
			t.Fatal(err)
		}
		if up.calls != c.writes {
			t.Errorf("%d writes once %s at revision %s is seen, want %d", up.calls, c.stored.Status.Phase, c.stored.ResourceVersion, c.writes)
		}
	}
}

func TestARestartForgetsNoFailedStart(t *testing.T) {
	pod := aView(nil).pod
	end := &corev1.ContainerStateTerminated{Reason: "StartError", ExitCode: 128, Message: "no such file", FinishedAt: metav1.NewTime(noon), ContainerID: "containerd://x"}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "c", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: end},
	}}
	list := []Container{{ID: "x", State: StateCreated}, {ID: "y", State: StateCreated}}
	newWorker(&Agent{}, pod).markFailed(list)
	if list[0].State != StateExited || list[0].ExitCode != 128 || !list[0].FinishedAt.Equal(noon) {
		t.Errorf("the container that could not be started: %+v", list[0])
	}
	if list[1].State != StateCreated {
		t.Errorf("one that was not started: %+v", list[1])
	}
}

func TestReadinessGatesHoldAPodBack(t *testing.T) {
	v := aView(nil)
	v.verdicts[v.has("c", 0, StateRunning, 0, 0).ID] = verdict{started: true, ready: true}
	v.pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.org/up"}}
	for _, c := range []struct {
		gate    corev1.ConditionStatus
		ready   corev1.ConditionStatus
		message string
	}{
		{"", corev1.ConditionFalse, `corresponding condition of pod readiness gate "example.org/up" does not exist.`},
		{corev1.ConditionFalse, corev1.ConditionFalse, `the status of pod readiness gate "example.org/up" is not "True", but False`},
		{corev1.ConditionTrue, corev1.ConditionTrue, ""},
	} {
		v.pod.Status.Conditions = nil
		if c.gate != "" {
			v.pod.Status.Conditions = []corev1.PodCondition{{Type: "example.org/up", Status: c.gate}}
		}
		s := podStatus(v, "192.0.2.1")
		ready, containers := condition(&s, corev1.PodReady), condition(&s, corev1.ContainersReady)
		if ready.Status != c.ready || ready.Message != c.message || containers.Status != corev1.ConditionTrue {
			t.Errorf("gate %q: %+v, %+v", c.gate, ready, containers)
		}
	}
}
