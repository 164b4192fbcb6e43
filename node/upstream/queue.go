package upstream

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/agent"
)

// eventsWaiting is how many different events may wait to be written before further ones are dropped.
const eventsWaiting = 256

// Event is something that happened to a pod or node, so many times.
type Event struct {
	Regarding   corev1.ObjectReference `json:"regarding"`
	Type        string                 `json:"type"`
	Reason      string                 `json:"reason"`
	Message     string                 `json:"message"`
	Count       int32                  `json:"count"`
	First, Last metav1.Time
}

// queue has the events that wait to be written. Equal ones are counted: while the cluster cannot be asked, what happens again and
// again takes no more room.
type queue struct {
	wake chan struct{} // holds one: there are some

	mu      *sync.Mutex
	waiting []Event
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1), mu: &sync.Mutex{}} }

// put reports whether there was room.
func (q *queue) put(ev Event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	for i := range q.waiting {
		if q.waiting[i].namespace() == ev.namespace() && q.waiting[i].name() == ev.name() {
			q.waiting[i].Count++
			q.waiting[i].Last = ev.Last
			return true
		}
	}
	if len(q.waiting) >= eventsWaiting {
		return false
	}
	q.waiting = append(q.waiting, ev)
	return true
}

func (q *queue) take() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	q.waiting = nil
	return all
}

// Event implements agent.Upstream.
func (u *Upstream) Event(pod agent.PodRef, eventType, reason, message, containerPath string) {
	u.tell(corev1.ObjectReference{
		APIVersion: "v1", Kind: kindPod, Namespace: pod.Namespace, Name: pod.Name, UID: types.UID(pod.UID), FieldPath: containerPath,
	}, eventType, reason, message)
}

// NodeEvent implements agent.Upstream. A node's name stands for its UID, as in Kubernetes.
func (u *Upstream) NodeEvent(node, eventType, reason, message string) {
	u.tell(corev1.ObjectReference{APIVersion: "v1", Kind: kindNode, Name: node, UID: types.UID(node)}, eventType, reason, message)
}

const (
	kindPod  = "Pod"
	kindNode = "Node"
)

func (u *Upstream) tell(regarding corev1.ObjectReference, eventType, reason, message string) {
	now := metav1.NewTime(u.now())
	ev := Event{Regarding: regarding, Type: eventType, Reason: reason, Message: message, Count: 1, First: now, Last: now}
	if !u.events.put(ev) {
		u.log.Debug("event dropped: too many are waiting", "kind", regarding.Kind, "name", regarding.Name, "reason", reason)
	}
}

// Run writes what waits: the events, those that wait together as one transaction, and the node's registration. It returns when ctx
// ends.
func (u *Upstream) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return u.registerLater(ctx) })
	g.Go(func() error { return u.writeEvents(ctx) })
	return g.Wait()
}

func (u *Upstream) writeEvents(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.events.wake:
		}
		batch := u.events.take()
		if err := u.writer.WriteEvents(ctx, batch); err != nil && ctx.Err() == nil {
			u.log.Warn("events were not written", "count", len(batch), "error", err)
		}
	}
}

// namespace of an event about what is in none is default.
func (ev *Event) namespace() string { return cmp.Or(ev.Regarding.Namespace, metav1.NamespaceDefault) }

// name is the same for equal events, so that they meet on one object even across a restart.
func (ev *Event) name() string {
	h := fnv.New64a()
	for _, part := range []string{string(ev.Regarding.UID), ev.Type, ev.Reason, ev.Message, ev.Regarding.FieldPath} {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	return fmt.Sprintf("%s.%016x", ev.Regarding.Name, h.Sum64())
}
