package agent

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// aView is a pod with one container that is set up and has nothing yet.
func aView(change func(*view)) *view {
	v := &view{
		pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "u"},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyAlways,
				Containers:    []corev1.Container{{Name: "c", Image: "app:1"}},
			},
		},
		setUp: true, podIP: "10.42.0.2", now: noon,
		containers: map[string][]Container{}, problems: map[string]*problem{}, verdicts: map[string]verdict{},
		stopping: map[string]time.Time{}, messages: map[string]string{}, failed: map[string]startFailure{},
		steady: map[string]int{}, before: map[string]bool{},
	}
	if change != nil {
		change(v)
	}
	return v
}

// has adds a container; for one that has ended, ago is how long ago, after it ran for a second.
func (v *view) has(name string, attempt int, state ContainerState, code int32, ago time.Duration) *Container {
	spec := containerOf(v.pod, name)
	c := Container{ID: containerID("u", name, attempt), Name: name, Attempt: attempt, State: state, SpecHash: specHash(spec), CreatedAt: noon, StartedAt: noon}
	if state == StateExited {
		c.ExitCode, c.FinishedAt = code, noon.Add(-ago)
		c.StartedAt = c.FinishedAt.Add(-time.Second)
	}
	v.containers[name] = append(v.containers[name], c)
	return &v.containers[name][len(v.containers[name])-1]
}

func withInit(v *view) {
	v.pod.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "app:1"}, {Name: "j", Image: "app:1"}}
}

func deletedIn(seconds int) func(*view) {
	return func(v *view) {
		at := metav1.NewTime(noon.Add(time.Duration(seconds) * time.Second))
		v.pod.DeletionTimestamp = &at
	}
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name string
		view func(*view)
		want step
	}{
		{"a new pod is set up", func(v *view) { v.setUp = false }, step{verb: setUp}},
		{"what failed waits", func(v *view) { v.setUp, v.problem = false, &problem{retry: noon.Add(time.Second)} }, step{verb: rest, at: noon.Add(time.Second)}},
		{"what failed is tried again", func(v *view) { v.setUp, v.problem = false, &problem{retry: noon} }, step{verb: setUp}},
		{"then a container is made", nil, step{verb: create}},
		{"and started", func(v *view) { v.has("c", 0, StateCreated, 0, 0) }, step{verb: start, id: containerID("u", "c", 0)}},
		{"and left alone", func(v *view) { v.has("c", 0, StateRunning, 0, 0) }, step{verb: rest}},
		{"the first end is followed by a start at once", func(v *view) { v.has("c", 0, StateExited, 1, 0) }, step{verb: create, attempt: 1}},
		{"the second by a wait of 10 s", func(v *view) { v.has("c", 1, StateExited, 1, 4*time.Second) }, step{verb: rest, at: noon.Add(6 * time.Second)}},
		{"the tenth by one of 5 min", func(v *view) { v.has("c", 10, StateExited, 1, 0) }, step{verb: rest, at: noon.Add(5 * time.Minute)}},
		{"a long run is the end of that", func(v *view) { v.has("c", 10, StateExited, 1, 0); v.steady["c"] = 10 }, step{verb: create, attempt: 11}},
		{"after it the wait begins small", func(v *view) { v.has("c", 11, StateExited, 1, 0); v.steady["c"] = 10 }, step{verb: rest, at: noon.Add(10 * time.Second)}},
		{"another image does not wait", func(v *view) { v.has("c", 10, StateExited, 1, 0).SpecHash = "other" }, step{verb: create, attempt: 11}},
		{"a good end with OnFailure is the last", func(v *view) {
			v.pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
			v.has("c", 0, StateExited, 0, 0)
		}, step{verb: rest}},
		{"a bad end with Never too", func(v *view) {
			v.pod.Spec.RestartPolicy = corev1.RestartPolicyNever
			v.has("c", 0, StateExited, 1, 0)
		}, step{verb: rest}},
		{"a dead container is stopped", func(v *view) {
			v.verdicts[v.has("c", 0, StateRunning, 0, 0).ID] = verdict{dead: "failed"}
		}, step{verb: stop, id: containerID("u", "c", 0), reason: "failed", grace: 30 * time.Second}},
		{"one of another image too", func(v *view) { v.has("c", 0, StateRunning, 0, 0).SpecHash = "other" },
			step{verb: stop, id: containerID("u", "c", 0), reason: "Container c definition changed, will be restarted", grace: 30 * time.Second}},
		{"but only once", func(v *view) {
			id := v.has("c", 0, StateRunning, 0, 0).ID
			v.verdicts[id], v.stopping[id] = verdict{dead: "failed"}, noon.Add(time.Minute)
		}, step{verb: rest}},
		{"what failed to be made waits", func(v *view) { v.problems["c"] = &problem{retry: noon.Add(time.Second)} }, step{verb: rest, at: noon.Add(time.Second)}},
		{"records that were lost go on counting", func(v *view) {
			v.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", ContainerID: "containerd://x", RestartCount: 4}}
		}, step{verb: create, attempt: 5}},
		{"old runs are thrown away", func(v *view) {
			v.has("c", 1, StateExited, 1, 0)
			v.has("c", 2, StateExited, 1, 0)
			v.has("c", 3, StateRunning, 0, 0)
		}, step{verb: discard, id: containerID("u", "c", 1)}},

		{"init containers come first", withInit, step{verb: create}},
		{"one after the other", func(v *view) { withInit(v); v.has("i", 0, StateExited, 0, 0) }, step{verb: create}},
		{"again when they fail", func(v *view) { withInit(v); v.has("i", 0, StateExited, 1, 0) }, step{verb: create, attempt: 1}},
		{"not when that is the pod's end", func(v *view) {
			withInit(v)
			v.pod.Spec.RestartPolicy = corev1.RestartPolicyNever
			v.has("i", 0, StateExited, 1, 0)
		}, step{verb: rest}},
		{"and not again for a main container", func(v *view) { withInit(v); v.has("c", 0, StateExited, 1, 0) }, step{verb: create, attempt: 1}},
		{"but after a reboot", func(v *view) {
			withInit(v)
			v.before[v.has("i", 0, StateExited, 0, time.Hour).ID] = true
			v.before[v.has("j", 0, StateExited, 0, time.Hour).ID] = true
			v.before[v.has("c", 3, StateExited, 255, 0).ID] = true
		}, step{verb: create, attempt: 1}},
		{"a reboot is no reason to wait", func(v *view) { v.before[v.has("c", 3, StateExited, 255, 0).ID] = true }, step{verb: create, attempt: 4}},
		{"what was only made before a reboot is made again", func(v *view) { v.before[v.has("c", 0, StateCreated, 0, 0).ID] = true }, step{verb: create, attempt: 1}},

		{"a deleted pod is stopped", func(v *view) { deletedIn(5)(v); v.has("c", 0, StateRunning, 0, 0) },
			step{verb: stop, id: containerID("u", "c", 0), inTurn: true, grace: 5 * time.Second}},
		{"with a second at least", func(v *view) { deletedIn(-5)(v); v.has("c", 0, StateRunning, 0, 0) },
			step{verb: stop, id: containerID("u", "c", 0), inTurn: true, grace: time.Second}},
		{"and waited for", func(v *view) {
			deletedIn(5)(v)
			v.stopping[v.has("c", 0, StateRunning, 0, 0).ID] = noon.Add(5 * time.Second)
		}, step{verb: rest}},
		{"hurried up when it is forced", func(v *view) {
			v.gone = true
			v.stopping[v.has("c", 0, StateRunning, 0, 0).ID] = noon.Add(30 * time.Second)
		}, step{verb: stop, id: containerID("u", "c", 0), inTurn: true, grace: time.Second}},
		{"its grace is no longer than it was when the clock was set back", func(v *view) {
			grace := int64(5)
			deletedIn(7200)(v)
			v.pod.DeletionGracePeriodSeconds = &grace
			v.has("c", 0, StateRunning, 0, 0)
		}, step{verb: stop, id: containerID("u", "c", 0), inTurn: true, grace: 5 * time.Second}},
		{"nor shorter when this machine's clock is an hour ahead", func(v *view) {
			grace := int64(5)
			deletedIn(-3600)(v)
			v.pod.DeletionGracePeriodSeconds, v.deletionSeen = &grace, v.now.Add(-2*time.Second)
			v.has("c", 0, StateRunning, 0, 0)
		}, step{verb: stop, id: containerID("u", "c", 0), inTurn: true, grace: 3 * time.Second}},
		{"and torn down", func(v *view) { deletedIn(5)(v); v.has("c", 0, StateExited, 0, 0) }, step{verb: tearDown}},
		{"once", func(v *view) { deletedIn(5)(v); v.done = true }, step{verb: rest}},

		{"a deadline is kept in mind", func(v *view) {
			seconds, begun := int64(60), metav1.NewTime(noon.Add(-20*time.Second))
			v.pod.Spec.ActiveDeadlineSeconds, v.pod.Status.StartTime = &seconds, &begun
			v.has("c", 0, StateRunning, 0, 0)
		}, step{verb: rest, at: noon.Add(40 * time.Second)}},
		{"and kept", func(v *view) {
			seconds, begun := int64(10), metav1.NewTime(noon.Add(-20*time.Second))
			v.pod.Spec.ActiveDeadlineSeconds, v.pod.Status.StartTime = &seconds, &begun
			v.has("c", 0, StateRunning, 0, 0)
		}, step{verb: stop, id: containerID("u", "c", 0), reason: "Pod was active on the node longer than the specified deadline", inTurn: true, grace: 30 * time.Second}},
		{"the volumes of a pod that has ended go", func(v *view) { v.pod.Status.Phase = corev1.PodSucceeded }, step{verb: release}},
		{"and it never begins again", func(v *view) { v.pod.Status.Phase, v.released = corev1.PodSucceeded, true }, step{verb: rest}},
		{"an evicted pod is stopped", func(v *view) { v.evicted = &evicted{grace: time.Second}; v.has("c", 0, StateRunning, 0, 0) },
			step{verb: stop, id: containerID("u", "c", 0), inTurn: true, grace: time.Second}},
		{"then its volumes go, whatever is stored", func(v *view) { v.evicted = &evicted{}; v.has("c", 0, StateExited, 0, 0) }, step{verb: empty}},
		{"and it does not begin again", func(v *view) { v.evicted, v.emptied = &evicted{}, true; v.has("c", 0, StateExited, 0, 0) }, step{verb: rest}},
		{"though its containers may go too", func(v *view) {
			v.evicted, v.emptied, v.thin = &evicted{}, true, true
			v.has("c", 0, StateExited, 0, 0)
		}, step{verb: discard, id: containerID("u", "c", 0)}},
		{"its address goes once that is stored", func(v *view) {
			v.evicted, v.emptied, v.pod.Status.Phase = &evicted{}, true, corev1.PodFailed
			v.has("c", 0, StateExited, 0, 0)
		}, step{verb: release}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decide(aView(c.view))
			got.container = nil
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestBackOffWhenTheClockIsSetBack has a container whose end is hours in the future: it waits no longer than its back-off.
func TestBackOffWhenTheClockIsSetBack(t *testing.T) {
	now := noon
	w := &worker{Agent: &Agent{Config: Config{Now: func() time.Time { return now }}}, ends: map[string]time.Time{}}
	v := aView(nil)
	end := v.has("c", 1, StateExited, 1, -3*time.Hour).FinishedAt
	for _, passed := range []time.Duration{0, 5 * time.Second, 10 * time.Second} {
		now = noon.Add(passed)
		v.containers["c"][0].FinishedAt = end // as the runtime has it
		w.boundEnds(v.containers["c"])
		v.now = now
		want := step{verb: rest, at: noon.Add(10 * time.Second)}
		if passed == 10*time.Second {
			want = step{verb: create, attempt: 2}
		}
		got := decide(v)
		got.container = nil
		if got != want {
			t.Errorf("after %s: %+v, want %+v", passed, got, want)
		}
	}
}

// TestACrashLoop walks a container through its ends as time goes on: the waits are Kubernetes'.
func TestACrashLoop(t *testing.T) {
	v := aView(nil)
	clock := noon
	for attempt, want := range []time.Duration{0, 10, 20, 40, 80, 160, 300, 300} {
		v.containers["c"] = nil
		c := v.has("c", attempt, StateExited, 1, 0)
		c.StartedAt, c.FinishedAt = clock, clock.Add(time.Second)
		v.now = c.FinishedAt
		s := decide(v)
		if s.verb == rest {
			clock = s.at
			v.now = s.at
			s = decide(v)
		} else {
			clock = v.now
		}
		if s.verb != create || s.attempt != attempt+1 || clock.Sub(c.FinishedAt) != want*time.Second {
			t.Errorf("after end %d: %+v after %s, want a start after %d s", attempt, s, clock.Sub(c.FinishedAt), want)
		}
	}
}
