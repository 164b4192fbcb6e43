package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// worker moves one pod on, one step at a time. Its fields below mu are shared with what it started: probes and stops.
type worker struct {
	*Agent
	ref  PodRef
	wake chan struct{} // holds one: something changed

	// Only the worker's own goroutine uses these.
	isSetUp   bool
	firstUser uint32 // of the machine's, that is the pod's root; 0: the machine's own
	problem   *problem
	problems  map[string]*problem
	volumes   map[string]string // path by name
	probing   map[string]context.CancelFunc
	messages  map[string]string       // termination messages, by container ID
	failed    map[string]startFailure // by container ID
	steady    map[string]int          // by container name
	before    map[string]bool         // containers from before a reboot
	lost      map[string]Container    // that the runtime has no records of, by name; nil until it was looked
	announced map[string]bool         // containers whose back-off was told
	last      *corev1.PodStatus       // what was said last
	stale     bool                    // the volumes made from the API are to be brought up to date
	torn      bool
	ends      map[string]time.Time // when one was seen ended whose end is in the future by the clock, by container ID
	stuck     string               // why the pod cannot be removed, as told
	released  bool                 // the address of the pod, which has ended, is given back, and its volumes are removed
	emptied   bool                 // the volumes of the pod, which was evicted, are removed
	tasks     sync.WaitGroup       // probes, stops and hooks under way

	mu       sync.Mutex
	pod      *corev1.Pod
	podIP    string // empty: it has none yet
	gone     bool
	seen     time.Time     // since when the pod is to be deleted; zero while it is not
	deleting chan struct{} // closed when the pod is to end, so that a long pull does not hold it up
	verdicts map[string]verdict
	stopping map[string]*stopping
	retry    bool // images arrived: what failed for want of one is tried again
	evicted  *evicted
	isEmpty  bool // released or emptied
	changed  bool // a ConfigMap, a Secret or the pod's metadata was written
}

func newWorker(a *Agent, pod *corev1.Pod) *worker {
	w := &worker{
		Agent: a, ref: refOf(pod), wake: make(chan struct{}, 1),
		problems: map[string]*problem{}, probing: map[string]context.CancelFunc{}, messages: map[string]string{},
		failed: map[string]startFailure{}, steady: map[string]int{}, announced: map[string]bool{},
		ends: map[string]time.Time{}, deleting: make(chan struct{}), verdicts: map[string]verdict{}, stopping: map[string]*stopping{},
	}
	w.recallFailures(pod)
	w.recallEviction(pod)
	w.update(pod, false)
	return w
}

func refOf(pod *corev1.Pod) PodRef {
	return PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}
}

// update hands the worker a newer state of the pod; gone says that there is no such object any more.
func (w *worker) update(pod *corev1.Pod, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if pod != nil {
		w.changed = w.changed || w.pod != nil && !sameMetadata(w.pod, pod)
		w.pod = pod
	}
	w.gone = w.gone || gone
	if w.pod.DeletionTimestamp != nil && w.seen.IsZero() {
		w.seen = w.Now()
	}
	if w.gone || w.pod.DeletionTimestamp != nil {
		select {
		case <-w.deleting:
		default:
			close(w.deleting)
		}
	}
	w.nudge()
}

func (w *worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run works until nothing of a pod that is gone is left, or ctx ends; the containers of a pod that is not gone go on.
func (w *worker) run(ctx context.Context) {
	defer w.tasks.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for ctx.Err() == nil {
		v, err := w.look(ctx)
		if err != nil {
			w.Logger.Warn("cannot look at the pod's containers", "pod", w.ref, "error", err)
			w.pause(ctx, w.Now().Add(time.Second))
			continue
		}
		w.syncProbes(ctx, v)
		if !v.gone && !v.takingUp() {
			w.report(v)
		}
		s := decide(v)
		switch {
		case s.verb != rest:
			w.perform(ctx, v, s)
		case v.done && v.gone:
			return
		default:
			w.pause(ctx, s.at)
		}
	}
}

// report says what became of the pod.
func (w *worker) report(v *view) {
	status := podStatus(v, w.address())
	w.last = &status
	w.statuses.put(PodStatus{Pod: w.ref, Status: status}, v.pod)
	for _, list := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses} {
		for i := range list {
			w.announceBackOff(&list[i])
		}
	}
}

// announceBackOff tells once for each run that a container waits because it ended again and again.
func (w *worker) announceBackOff(s *corev1.ContainerStatus) {
	if s.State.Waiting == nil || s.State.Waiting.Reason != crashLoop {
		return
	}
	id := strings.TrimPrefix(s.ContainerID, containerScheme)
	if !w.announced[id] {
		w.announced[id] = true
		w.event(corev1.EventTypeWarning, "BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", s.Name, w.ref.Name, w.ref.Namespace, w.ref.UID), fieldPath(w.currentPod(), s.Name))
	}
}

// wants says whether the pod has a container of such an image.
func (w *worker) wants(image func(ref string) bool) bool {
	spec := &w.currentPod().Spec
	wanted := func(name string) bool {
		ref, err := normalize(name)
		return err == nil && image(ref)
	}
	isWanted := func(c corev1.Container) bool { return wanted(c.Image) }
	return slices.ContainsFunc(spec.InitContainers, isWanted) || slices.ContainsFunc(spec.Containers, isWanted) ||
		slices.ContainsFunc(spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return wanted(c.Image) })
}

// imagesArrived has the worker try again what failed for want of an image.
func (w *worker) imagesArrived() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retry = true
	w.nudge()
}

// pause returns when something changed, at the given time if there is one, or when ctx ends.
func (w *worker) pause(ctx context.Context, at time.Time) {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(at.Sub(w.Now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-w.wake:
	case <-due:
	}
}

// look puts together all that the next decision is made from.
func (w *worker) look(ctx context.Context) (*view, error) {
	containers, err := w.containers(ctx)
	if err != nil {
		return nil, err
	}
	w.findLost(containers)
	for name, list := range containers {
		w.markFailed(list)
		w.boundEnds(list)
		w.readMessages(name, list)
	}
	steadyAttempts(w.steady, containers)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pod.Spec.HostNetwork && w.podIP != "" {
		w.podIP = w.address() // which may have changed
	}
	if w.retry {
		w.retry = false
		retryImages(w.problems)
	}
	if w.changed {
		w.changed, w.stale = false, true
		w.retryConfig()
	}
	return &view{
		pod: w.pod, deletionSeen: w.seen, fenced: !w.gone && w.fenced(w.pod), gone: w.gone, done: w.torn, released: w.released, emptied: w.emptied, thin: w.thin.Load(), evicted: w.evicted,
		containers: containers, setUp: w.isSetUp, podIP: w.podIP,
		stale: w.stale, problem: w.problem, problems: w.problems, messages: w.messages,
		verdicts: maps.Clone(w.verdicts), stopping: graceEnds(w.stopping),
		failed: w.failed, steady: w.steady, before: w.before, last: w.last,
		now: w.Now(),
	}, nil
}

// markFailed shows containers that could not be started as ended, with the exit code that Kubernetes gives them.
func (w *worker) markFailed(list []Container) {
	for i := range list {
		if f, ok := w.failed[list[i].ID]; ok && list[i].State == StateCreated {
			list[i].State, list[i].ExitCode = StateExited, startErrorCode
			list[i].StartedAt, list[i].FinishedAt = f.at, f.at
		}
	}
}

// boundEnds has no container end in the future, as it did when the clock was set back since: its back-off would last until the
// clock is there again. It counts from when the end was seen.
func (w *worker) boundEnds(list []Container) {
	now := w.Now()
	for i := range list {
		c := &list[i]
		if c.State != StateExited {
			continue
		}
		if _, bound := w.ends[c.ID]; !bound && c.FinishedAt.After(now.Add(time.Second)) {
			w.ends[c.ID] = now
		}
		if seen, bound := w.ends[c.ID]; bound {
			c.FinishedAt = seen
		}
	}
}

// recallFailures knows from the stored status which containers an earlier run of covey could not start: the runtime only
// says that they were made.
func (w *worker) recallFailures(pod *corev1.Pod) {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
		for _, end := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
			if end != nil && end.Reason == startError {
				w.failed[strings.TrimPrefix(end.ContainerID, containerScheme)] = startFailure{message: end.Message, at: end.FinishedAt.Time}
			}
		}
	}
}

// startErrorCode is the exit code of a container that could not be started.
const startErrorCode = 128

// startError is the reason of its end.
const startError = "StartError"

// perform does one step. What fails is noted as a problem, with the time of the next attempt.
func (w *worker) perform(ctx context.Context, v *view, s step) {
	begun := time.Now()
	defer func() { w.Logger.Debug("step", "pod", w.ref, "verb", s.verb, "took", time.Since(begun)) }()
	switch s.verb {
	case setUp:
		w.setUp(ctx, v)
	case refresh:
		w.refresh(ctx, v.pod)
	case create:
		w.create(ctx, v, s)
	case start:
		w.start(ctx, s)
	case stop:
		w.stop(ctx, v, s)
	case release:
		w.release(ctx)
	case empty:
		w.empty(ctx)
	case discard:
		w.discard(ctx, v, s.id)
	case tearDown:
		w.tearDown(ctx)
	}
}

// fail notes a problem, doubling the time to the next attempt up to most.
func (w *worker) fail(before *problem, reason string, err error, first, most time.Duration) *problem {
	p := &problem{reason: reason, message: err.Error()}
	if before != nil && before.reason == reason {
		p.count = before.count + 1
	}
	p.retry = w.Now().Add(doubled(first, p.count, most))
	return p
}

// containers are the pod's, by name, the newest of each last.
func (w *worker) containers(ctx context.Context) (map[string][]Container, error) {
	all, err := w.runtime.List(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string][]Container{}
	for i := range all {
		if all[i].Pod.UID == w.ref.UID {
			byName[all[i].Name] = append(byName[all[i].Name], all[i])
		}
	}
	for _, list := range byName {
		slices.SortFunc(list, func(a, b Container) int { return a.Attempt - b.Attempt })
	}
	return byName, nil
}
