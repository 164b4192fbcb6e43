package scheduler

import (
	"time"

	"covey.dev/covey/store"
)

// kind is what is to be done with an object. The order is the order of a round: replica sets before deployments, so
// that a deployment sees statuses that are up to date; placement when the pods are there.
type kind int

const (
	namespaces kind = iota
	garbage
	lostPods
	unready
	evictions
	endedPods
	replicaSets
	deployments
	budgets
	placements
	expireEvents
	kinds
)

// work is one object to look at.
type work struct {
	kind kind
	key  store.Key
}

// queue holds each work once, first come first served within a kind.
type queue struct {
	lists [kinds][]store.Key
	has   map[work]bool
	// whole is work with all objects of a resource in a namespace, which the key names. It becomes work with each of them
	// once a round: were it done with each change, a burst of changes would cost its square.
	whole map[work]bool
}

func newQueue() *queue { return &queue{has: map[work]bool{}, whole: map[work]bool{}} }

func (q *queue) empty() bool { return len(q.has) == 0 && len(q.whole) == 0 }

// addAll adds work with all objects of a resource in a namespace.
func (q *queue) addAll(k kind, namespace, resource string) {
	q.whole[work{k, store.Key{Resource: resource, Namespace: namespace}}] = true
}

// takeWhole adds the work with each object of those that addAll named.
func (s *Scheduler) takeWhole() {
	for w := range s.queue.whole {
		in := s.index.inNamespace[w.key.Namespace]
		if w.kind == budgets {
			in = s.index.budgets[w.key.Namespace]
		}
		for key := range in {
			if key.Resource == w.key.Resource {
				s.queue.add(w.kind, key)
			}
		}
	}
	clear(s.queue.whole)
}

func (q *queue) add(k kind, key store.Key) {
	if w := (work{k, key}); !q.has[w] {
		q.has[w] = true
		q.lists[k] = append(q.lists[k], key)
	}
}

// next takes the first work of the first kind that is before the given one.
func (q *queue) next(before kind) (work, bool) {
	for k := range before {
		if w, ok := q.take(k); ok {
			return w, true
		}
	}
	return work{}, false
}

func (q *queue) take(k kind) (work, bool) {
	if len(q.lists[k]) == 0 {
		return work{}, false
	}
	w := work{k, q.lists[k][0]}
	if q.lists[k] = q.lists[k][1:]; len(q.lists[k]) == 0 {
		q.lists[k] = nil // let go of the array
	}
	delete(q.has, w)
	return w, true
}

// takeDue queues what has become due.
func (s *Scheduler) takeDue() {
	now := s.clock.Now()
	for w, at := range s.due {
		if !now.Before(at) {
			delete(s.due, w)
			s.queue.add(w.kind, w.key)
		}
	}
}

func (s *Scheduler) nextDue() (earliest time.Time, ok bool) {
	for _, at := range s.due {
		if !ok || at.Before(earliest) {
			earliest, ok = at, true
		}
	}
	return earliest, ok
}
