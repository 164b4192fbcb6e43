package scheduler

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

const (
	eventResource = "events"

	// eventTTL is how long an event is kept after it was last told, and eventSlack how much longer it may stay so that
	// old ones go together.
	eventTTL   = time.Hour
	eventSlack = 5 * time.Minute

	// After alikeLimit different messages of one reason about one object within alikeWindow, further ones are counted
	// up on a single event, as Kubernetes' recorder does.
	alikeLimit    = 10
	alikeWindow   = 10 * time.Minute
	alikeTogether = "(combined from similar events): "
)

// record writes an event: a new one, or one more count on an equal one.
func (r *round) record(e controller.Event) {
	if r.index.isClosed(cmp.Or(e.Regarding.Namespace, metav1.NamespaceDefault)) {
		return
	}
	group := eventGroup(&e.Regarding, e.Source, e.Type, e.Reason)
	key, found := r.index.eventIDs[group+e.Message]
	if !found && r.alike(group) >= alikeLimit {
		e.Message = alikeTogether + e.Message
		key, found = r.index.eventIDs[group+alikeTogether]
	}
	if found {
		if was, ok := get[*corev1.Event](r.view, key); ok {
			ev := was.DeepCopy()
			ev.Count++
			ev.LastTimestamp, ev.Message = r.stamp(), e.Message
			r.change(controller.Update, key, ev)
			return
		}
	}
	r.newEvent(e)
}

// alike counts the recent events of a group.
func (r *round) alike(group string) int {
	n := 0
	for key := range r.index.eventGroups[group] {
		if r.env.Now.Sub(r.index.facts[key].event.last(r.env.Now)) < alikeWindow {
			n++
		}
	}
	return n
}

func (r *round) newEvent(e controller.Event) {
	at := r.env.Now
	ev := e.Object(at, r.env.NewUID())
	for r.index.facts[eventKey(ev)] != nil {
		at = at.Add(1)
		ev.Name = controller.EventName(e.Regarding.Name, at)
	}
	r.change(controller.Create, eventKey(ev), ev)
}

func eventKey(ev *corev1.Event) store.Key {
	return store.Key{Resource: eventResource, Namespace: ev.Namespace, Name: ev.Name}
}

// expire deletes events that are too old, and says when to look again.
func (r *round) expire() {
	w := work{kind: expireEvents}
	var next time.Time
	for key, f := range r.index.facts {
		if f.event == nil {
			continue
		}
		switch at := f.event.last(r.env.Now).Add(eventTTL); {
		case r.env.Now.Before(at):
			if next.IsZero() || at.Before(next) {
				next = at
			}
		case r.isFull():
			r.queue.add(expireEvents, w.key)
			return
		default:
			if obj, ok := get[*corev1.Event](r.view, key); ok {
				r.change(controller.Delete, key, obj)
			}
		}
	}
	delete(r.due, w)
	if !next.IsZero() {
		r.due[w] = r.local(next.Add(eventSlack))
	}
}

// awaitExpiry sees to it that a new event will be looked at when it is old.
func (s *Scheduler) awaitExpiry(is *fact) {
	w := work{kind: expireEvents}
	if _, set := s.due[w]; !set && is != nil && is.event != nil {
		now := s.now()
		s.due[w] = s.clock.Now().Add(is.event.last(now).Add(eventTTL + eventSlack).Sub(now))
	}
}

func newEventFact(ev *corev1.Event) *eventFact {
	told := ev.LastTimestamp.Time
	if told.IsZero() {
		told = ev.EventTime.Time
	}
	group := eventGroup(&ev.InvolvedObject, cmp.Or(ev.ReportingController, ev.Source.Component), ev.Type, ev.Reason)
	message := ev.Message
	if len(message) > len(alikeTogether) && message[:len(alikeTogether)] == alikeTogether {
		message = alikeTogether
	}
	return &eventFact{id: group + message, group: group, told: told, created: ev.CreationTimestamp.Time}
}

// last is when an event was told last: when it was taken, if the clock of who told it must have been wrong.
func (e *eventFact) last(now time.Time) time.Time {
	if e.told.Before(e.created) || e.told.Sub(now) > eventTTL {
		return e.created
	}
	return e.told
}

// eventGroup is equal for events of one reason about one object.
func eventGroup(about *corev1.ObjectReference, source, kind, reason string) string {
	h := fnv.New128a()
	for _, part := range []string{
		about.Kind, about.Namespace, about.Name, string(about.UID), about.FieldPath, source, kind, reason,
	} {
		fmt.Fprintf(h, "%s\x00", part)
	}
	return string(h.Sum(nil))
}
