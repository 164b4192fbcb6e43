package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

var _ agent.Upstream = (*Upstream)(nil)

// Source is the state that an agent is told of: the store on a server, what servers said on a worker.
type Source interface {
	Snapshot() *store.Snapshot
	Watch(from uint64, resources ...string) (*store.Watcher, error)
	// Linearizable returns a state that has everything that was decided before the call, or the error of ctx when the cluster could
	// not be asked.
	Linearizable(ctx context.Context) (*store.Snapshot, error)
}

// Writer changes what concerns one node. Each method returns when that is done, or with ctx.
type Writer interface {
	Register(ctx context.Context, node *corev1.Node) (*corev1.Node, error)
	WriteStatus(ctx context.Context, updates []agent.PodStatus) (uint64, error)
	Remove(ctx context.Context, pod agent.PodRef) error
	WriteEvents(ctx context.Context, events []Event) error
}

// Upstream implements agent.Upstream over a Source and a Writer. While the cluster cannot be asked it goes on with what the
// source knew last.
type Upstream struct {
	source   Source
	writer   Writer
	now      func() time.Time
	log      *slog.Logger
	patience time.Duration
	events   queue
	register register
	ended    <-chan struct{} // closed when the node has no pods any more; nil: never
}

// DefaultPatience is how long a node that starts waits for the cluster to say what it is to run, before it goes on with what it
// knew last.
const DefaultPatience = 5 * time.Second

// New makes an Upstream. What waits to be written is written by Run.
func New(source Source, writer Writer, patience time.Duration, now func() time.Time, log *slog.Logger) *Upstream {
	return &Upstream{
		source: source, writer: writer, patience: patience, now: now, log: log,
		events: newQueue(), register: newRegister(),
	}
}

// EndPodsWhen has the agent end its pods when removed is closed: the node is no part of the cluster any more. Call it before Follow.
func (u *Upstream) EndPodsWhen(removed <-chan struct{}) { u.ended = removed }

// Follow implements agent.Upstream.
func (u *Upstream) Follow(ctx context.Context, node string, update func(pods []*corev1.Pod, current bool)) error {
	following, end := context.WithCancel(ctx)
	defer end()
	go func() { // which ends with following
		select {
		case <-u.ended:
			end()
		case <-following.Done():
		}
	}()
	err := u.followPods(following, node, update)
	select {
	case <-u.ended:
		update(nil, true)
		<-ctx.Done()
		return nil
	default:
		return err
	}
}

func (u *Upstream) followPods(ctx context.Context, node string, update func(pods []*corev1.Pod, current bool)) error {
	known := make(chan struct{})
	if !u.askedInTime(ctx) {
		// Until the cluster can be asked, what was known last is what counts.
		old, end := context.WithCancel(ctx)
		go func() {
			defer close(known)
			defer end()
			_, _ = u.source.Linearizable(ctx)
		}()
		err := u.followNode(old, node, func(pods []*corev1.Pod) { update(pods, false) })
		end()
		<-known
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
	return u.followNode(ctx, node, func(pods []*corev1.Pod) { update(pods, true) })
}

// askedInTime reports whether the source has everything that was decided before. That the cluster was waited for already, Register
// has seen to.
func (u *Upstream) askedInTime(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, u.patience/5)
	defer cancel()
	_, err := u.source.Linearizable(ctx)
	return err == nil
}

func (u *Upstream) followNode(ctx context.Context, node string, update func([]*corev1.Pod)) error {
	return keepUp(ctx, "the pods of node "+node, func() error { return u.follow(ctx, node, update) })
}

// keepUp calls follow until ctx ends, and again whenever that has fallen behind the history.
func keepUp(ctx context.Context, what string, follow func() error) error {
	for {
		err := follow()
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, store.ErrExpired) {
			return fmt.Errorf("follow %s: %w", what, err)
		}
	}
}

func (u *Upstream) follow(ctx context.Context, node string, update func([]*corev1.Pod)) error {
	snap := u.source.Snapshot()
	pods := map[store.Key]*corev1.Pod{}
	for pod := range store.List[*corev1.Pod](snap, "pods", "") {
		if pod.Spec.NodeName == node {
			pods[podKey(pod.Namespace, pod.Name)] = pod
		}
	}
	watch, err := u.source.Watch(snap.Revision(), "pods")
	if err != nil {
		return err
	}
	update(values(pods))
	for {
		events, err := watch.Next(ctx)
		if err != nil {
			return err
		}
		changed := false
		for _, ev := range events {
			changed = apply(pods, node, ev) || changed
		}
		if changed {
			update(values(pods))
		}
	}
}

// apply reports whether the event concerns a pod of the node.
func apply(pods map[store.Key]*corev1.Pod, node string, ev store.Event) bool {
	if ev.Cur != nil {
		pod := ev.Cur.Object().(*corev1.Pod)
		if pod.Spec.NodeName == node {
			pods[ev.Cur.Key()] = pod
			return true
		}
	}
	rec := ev.Cur
	if rec == nil {
		rec = ev.Prev
	}
	_, had := pods[rec.Key()]
	delete(pods, rec.Key())
	return had
}

func values(pods map[store.Key]*corev1.Pod) []*corev1.Pod {
	list := make([]*corev1.Pod, 0, len(pods))
	for _, pod := range pods {
		list = append(list, pod)
	}
	return list
}

// WriteStatus implements agent.Upstream.
func (u *Upstream) WriteStatus(ctx context.Context, updates []agent.PodStatus) (uint64, error) {
	return u.writer.WriteStatus(ctx, updates)
}

// Remove implements agent.Upstream.
func (u *Upstream) Remove(ctx context.Context, pod agent.PodRef) error {
	return u.writer.Remove(ctx, pod)
}

// ConfigMap implements agent.Upstream.
func (u *Upstream) ConfigMap(_ context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	return get[*corev1.ConfigMap](u, "configmaps", "configmap", namespace, name)
}

// Secret implements agent.Upstream.
func (u *Upstream) Secret(_ context.Context, namespace, name string) (*corev1.Secret, error) {
	return get[*corev1.Secret](u, "secrets", "secret", namespace, name)
}

func get[T store.Object](u *Upstream, resource, singular, namespace, name string) (T, error) {
	obj, ok := store.Get[T](u.source.Snapshot(), store.Key{Resource: resource, Namespace: namespace, Name: name})
	if !ok {
		return obj, fmt.Errorf("%s %q %w", singular, name, agent.ErrNotFound)
	}
	return obj, nil
}
