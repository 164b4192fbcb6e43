package agent

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// verb is what a worker does next.
type verb string

const (
	rest     verb = "rest"      // nothing before at, or before something changes
	setUp    verb = "set up"    // namespaces, address, volumes, files
	refresh  verb = "refresh"   // the volumes made from the API
	create   verb = "create"    // a container, with its image
	start    verb = "start"     // a created container
	stop     verb = "stop"      // a running container
	discard  verb = "discard"   // an old container that nobody will ask for again
	release  verb = "release"   // the address and the volumes of a pod that has ended
	empty    verb = "empty"     // the volumes of a pod that was evicted, before that is stored
	tearDown verb = "tear down" // all that is left of the pod
)

// step is one step of a pod's life.
type step struct {
	verb      verb
	container *corev1.Container // to create
	attempt   int
	id        string // of the container to start, stop or discard
	reason    string // of a stop, for the event
	inTurn    bool   // of a stop: sidecars wait until those that they serve have ended
	grace     time.Duration
	at        time.Time // of a rest; zero: only when something changes
}

// view is all that a decision is made from.
type view struct {
	pod        *corev1.Pod
	gone       bool                   // the object is no more, or was never seen: only what is left is to be removed
	done       bool                   // everything is torn down
	released   bool                   // the address of the pod, which has ended, is given back, and its volumes are removed
	emptied    bool                   // the volumes of the pod, which was evicted, are removed
	thin       bool                   // the disk is full: all that has ended is to go
	evicted    *evicted               // the pod has to leave the node; nil when it may stay
	containers map[string][]Container // by name, the newest last
	setUp      bool
	podIP      string
	stale      bool                    // the volumes made from the API are to be brought up to date
	fenced     bool                    // it may run at most once in the cluster, and is not known to be allowed to here now
	problem    *problem                // with setting up
	problems   map[string]*problem     // with making a container, by name
	verdicts   map[string]verdict      // of probes, by container ID
	stopping   map[string]time.Time    // by container ID: when its grace ends, also of those that have stopped since
	messages   map[string]string       // termination messages, by container ID
	failed     map[string]startFailure // by container ID
	steady     map[string]int          // by name: the last attempt that ran long enough for what was before to be forgotten
	before     map[string]bool         // IDs of containers from before the machine was rebooted
	last       *corev1.PodStatus       // what was said last; the stored status may be older
	now        time.Time

	deletionSeen time.Time // when this run of covey saw that the pod is to be deleted; zero while it is not
}

// startFailure is why a container that was made did not start.
type startFailure struct {
	message string
	at      time.Time
}

// problem is why something could not be done, and when it is tried again.
type problem struct {
	reason, message string
	count           int
	retry           time.Time
}

// verdict is what the probes say of a running container.
type verdict struct {
	started bool
	ready   bool
	dead    string        // why it is to be restarted; empty when it is not
	grace   time.Duration // that the probe gives a dead container; 0: the pod's
}

func (v *view) latest(name string) *Container {
	list := v.containers[name]
	if len(list) == 0 {
		return nil
	}
	return &list[len(list)-1]
}

// takingUp holds while what an earlier run of covey left running is not looked at yet: its stored status stands.
func (v *view) takingUp() bool {
	return !v.setUp && v.problem == nil && !v.deleting() && anyRuns(v.containers)
}

func (v *view) deleting() bool { return v.gone || v.pod.DeletionTimestamp != nil }

// deadline is when activeDeadlineSeconds are over; zero without.
func (v *view) deadline() time.Time {
	if v.pod.Spec.ActiveDeadlineSeconds == nil || v.pod.Status.StartTime == nil {
		return time.Time{}
	}
	return v.pod.Status.StartTime.Add(time.Duration(*v.pod.Spec.ActiveDeadlineSeconds) * time.Second)
}

func (v *view) overdue() bool {
	d := v.deadline()
	return !d.IsZero() && !v.now.Before(d)
}

// decide says what is to be done next. It has no effects, and the same view gives the same step.
func decide(v *view) step {
	switch {
	case v.done:
		return step{verb: rest}
	case v.deleting():
		return end(v, tearDown, "")
	case final(v.pod.Status.Phase) && !v.released:
		return end(v, release, "")
	case v.evicted != nil && !v.emptied && !v.released:
		return end(v, empty, "")
	case (final(v.pod.Status.Phase) || v.emptied) && v.thin && v.anyEnded() != "":
		return end(v, discard, "")
	case final(v.pod.Status.Phase), v.evicted != nil:
		return end(v, rest, "")
	case v.overdue():
		return end(v, rest, "Pod was active on the node longer than the specified deadline")
	case v.failedInit() != nil, v.completed():
		return end(v, rest, "")
	}
	if s, ok := old(v); ok {
		return s
	}
	if !v.setUp {
		if v.problem != nil && v.now.Before(v.problem.retry) {
			return step{verb: rest, at: v.problem.retry}
		}
		return step{verb: setUp}
	}
	if v.stale {
		return step{verb: refresh}
	}
	if v.fenced {
		return step{verb: rest, at: v.deadline()}
	}
	at := v.deadline()
	for _, next := range []func(*view) (step, bool){ephemeralContainers, initContainers, mainContainers} {
		s, goOn := next(v)
		if s.verb != rest {
			return s
		}
		at = earliest(at, s.at)
		if !goOn {
			break
		}
	}
	return step{verb: rest, at: at}
}

// end stops everything that runs, and then does what comes last.
func end(v *view, last verb, reason string) step {
	waits := false
	for _, list := range v.containers {
		for i := range list {
			if list[i].State != StateRunning {
				continue
			}
			// A stop that is under way is hurried up when the pod is now to be gone sooner.
			until, stopping := v.stopping[list[i].ID]
			if !stopping || v.now.Add(v.grace()+time.Second).Before(until) {
				return step{verb: stop, id: list[i].ID, reason: reason, grace: v.grace(), inTurn: true}
			}
			waits = true
		}
	}
	if waits {
		return step{verb: rest}
	}
	if last == discard {
		return step{verb: discard, id: v.anyEnded()}
	}
	return step{verb: last}
}

// anyEnded is the ID of some container that does not run; empty if there is none.
func (v *view) anyEnded() string {
	if ids := v.ended(); len(ids) > 0 {
		return slices.Min(ids)
	}
	return ""
}

// grace is how long containers may take to stop now.
func (v *view) grace() time.Duration {
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if v.pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *v.pod.Spec.TerminationGracePeriodSeconds
	}
	switch {
	case v.gone:
		return time.Second
	case v.pod.DeletionTimestamp != nil:
		// The timestamp is the moment by which the pod is to be gone, by another machine's clock. So the grace is counted from when the
		// deletion was seen here.
		left := v.pod.DeletionTimestamp.Sub(v.now)
		if seconds := v.pod.DeletionGracePeriodSeconds; seconds != nil {
			left = time.Duration(*seconds) * time.Second
			if !v.deletionSeen.IsZero() {
				left -= v.now.Sub(v.deletionSeen)
			}
		}
		left = max(left, time.Second)
		if v.evicted != nil {
			left = min(left, v.evicted.grace)
		}
		return left
	case v.evicted != nil:
		return v.evicted.grace
	}
	return time.Duration(grace) * time.Second
}

// old finds a container that came before the last one and the one before; when the disk is full before the last one.
func old(v *view) (step, bool) {
	keep := 2
	if v.thin {
		keep = 1
	}
	for _, list := range v.containers {
		if len(list) > keep {
			return step{verb: discard, id: list[0].ID}, true
		}
	}
	return step{}, false
}

// failedInit is the init container whose failure is the pod's.
func (v *view) failedInit() *Container {
	for i := range v.pod.Spec.InitContainers {
		spec := &v.pod.Spec.InitContainers[i]
		if c := v.latest(spec.Name); c != nil && c.State == StateExited && c.ExitCode != 0 && !v.restarts(spec, c) {
			return c
		}
	}
	return nil
}

// initContainers runs the init containers one after the other, and keeps the sidecars among them running. The main
// containers are next when they are through.
func initContainers(v *view) (s step, goOn bool) {
	next, reached := step{verb: rest}, v.reached()
	for i := range v.pod.Spec.InitContainers {
		spec := &v.pod.Spec.InitContainers[i]
		sidecar := alwaysRestarts(spec)
		if !sidecar && (i < reached || v.succeeded(spec)) {
			continue
		}
		s := advance(v, spec)
		if s.verb != rest {
			return s, false
		}
		next.at = earliest(next.at, s.at)
		if i >= reached && (!sidecar || !v.through(spec)) {
			return next, false
		}
	}
	return next, true
}

// succeeded says that an init container has done its work.
func (v *view) succeeded(spec *corev1.Container) bool {
	c := v.latest(spec.Name)
	return c != nil && c.State == StateExited && c.ExitCode == 0 && !v.outdated(c)
}

// initialized holds when the init containers have been through.
func (v *view) initialized() bool {
	reached := v.reached()
	for i := range v.pod.Spec.InitContainers {
		spec := &v.pod.Spec.InitContainers[i]
		switch {
		case i < reached:
		case alwaysRestarts(spec) && !v.through(spec), !alwaysRestarts(spec) && !v.succeeded(spec):
			return false
		}
	}
	return true
}

// outdated says that a container is of the time before a reboot and that its pod begins anew.
func (v *view) outdated(c *Container) bool {
	return v.before[c.ID] && v.pod.Spec.RestartPolicy != corev1.RestartPolicyNever
}

func mainContainers(v *view) (s step, goOn bool) {
	next := step{verb: rest}
	for i := range v.pod.Spec.Containers {
		s := advance(v, &v.pod.Spec.Containers[i])
		if s.verb != rest {
			return s, false
		}
		next.at = earliest(next.at, s.at)
	}
	return next, true
}

// advance moves one container one state on.
func advance(v *view, spec *corev1.Container) step {
	c := v.latest(spec.Name)
	switch {
	case c == nil:
		return attempt(v, spec, v.firstAttempt(spec.Name), time.Time{})
	case c.State == StateCreated && v.before[c.ID]:
		// What its mounts are of went with the reboot.
		return attempt(v, spec, c.Attempt+1, time.Time{})
	case c.State == StateCreated:
		return step{verb: start, id: c.ID, container: spec}
	case c.State == StateRunning:
		return running(v, spec, c)
	case !v.restarts(spec, c):
		return step{verb: rest}
	}
	return attempt(v, spec, c.Attempt+1, v.nextStart(spec, c))
}

// running stops a container that its probes call dead or whose image was changed.
func running(v *view, spec *corev1.Container, c *Container) step {
	if _, stopping := v.stopping[c.ID]; stopping {
		return step{verb: rest}
	}
	if dead := v.verdicts[c.ID].dead; dead != "" {
		return step{verb: stop, id: c.ID, grace: cmp.Or(v.verdicts[c.ID].grace, v.grace()), reason: dead}
	}
	if c.SpecHash != specHash(spec) {
		return step{verb: stop, id: c.ID, grace: v.grace(), reason: "Container " + spec.Name + " definition changed, will be restarted"}
	}
	return step{verb: rest}
}

// firstAttempt continues the count of a container whose records are lost.
func (v *view) firstAttempt(name string) int {
	for _, list := range [][]corev1.ContainerStatus{v.pod.Status.InitContainerStatuses, v.pod.Status.ContainerStatuses, v.pod.Status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name && list[i].ContainerID != "" {
				return int(list[i].RestartCount) + 1
			}
		}
	}
	return 0
}

// attempt makes the container unless something holds it back until later.
func attempt(v *view, spec *corev1.Container, n int, notBefore time.Time) step {
	if p := v.problems[spec.Name]; p != nil && p.retry.After(notBefore) {
		notBefore = p.retry
	}
	if v.now.Before(notBefore) {
		return step{verb: rest, at: notBefore}
	}
	return step{verb: create, container: spec, attempt: n}
}
