package agent

import (
	"context"
	"slices"
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
	isSetUp  bool
	podIP    string
	problem  *problem
	problems map[string]*problem
	volumes  map[string]string // path by name
	probing  map[string]context.CancelFunc
	messages map[string]string
	torn     bool
	tasks    sync.WaitGroup // probes, stops and hooks under way

	mu       sync.Mutex
	pod      *corev1.Pod
	gone     bool
	deleting chan struct{} // closed when the pod is to end, so that a long pull does not hold it up
	verdicts map[string]verdict
	stopping map[string]bool
}

func newWorker(a *Agent, pod *corev1.Pod) *worker {
	w := &worker{
		Agent: a, ref: refOf(pod), wake: make(chan struct{}, 1),
		problems: map[string]*problem{}, probing: map[string]context.CancelFunc{}, messages: map[string]string{},
		deleting: make(chan struct{}), verdicts: map[string]verdict{}, stopping: map[string]bool{},
	}
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
		w.pod = pod
	}
	w.gone = w.gone || gone
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
			w.statuses.put(PodStatus{Pod: w.ref, Status: podStatus(v, w.NodeAddress)})
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
	for name, list := range containers {
		w.readMessages(name, list)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return &view{
		pod: w.pod, gone: w.gone, done: w.torn,
		containers: containers, setUp: w.isSetUp, podIP: w.podIP,
		problem: w.problem, problems: w.problems, messages: w.messages,
		verdicts: clone(w.verdicts), stopping: clone(w.stopping),
		now: w.Now(),
	}, nil
}

func clone[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// perform does one step. What fails is noted as a problem, with the time of the next attempt.
func (w *worker) perform(ctx context.Context, v *view, s step) {
	begun := time.Now()
	defer func() { w.Logger.Debug("step", "pod", w.ref, "verb", s.verb, "took", time.Since(begun)) }()
	switch s.verb {
	case setUp:
		w.setUp(ctx, v)
	case create:
		w.create(ctx, v, s)
	case start:
		w.start(ctx, s)
	case stop:
		w.stop(ctx, v, s)
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
