package store

import (
	"context"
	"sort"
	"sync"
)

const (
	defaultHistory = 4096
	// historyBytes bounds the objects that the history keeps alive, so that an idle node does not pay for a busy past.
	historyBytes = 8 << 20
)

// history is the bounded list of the newest events that all watchers share. A watcher is no more than a position in it.
type history struct {
	mu     sync.Mutex
	limit  int
	events []Event // oldest first
	first  uint64  // position of events[0]; positions only grow
	floor  uint64  // every event with a revision above this is here
	bytes  int
	wake   chan struct{} // closed and replaced when events are appended; nil while nobody waits
}

func newHistory(limit int) *history {
	if limit <= 0 {
		limit = defaultHistory
	}
	return &history{limit: limit}
}

// append adds events in order and wakes the watchers. The caller holds mu.
func (h *history) append(events []Event) {
	h.events = append(h.events, events...)
	for _, e := range events {
		h.bytes += e.size()
	}
	drop := 0
	for drop < len(h.events) && (len(h.events)-drop > h.limit || h.bytes > historyBytes) {
		h.bytes -= h.events[drop].size()
		h.floor = h.events[drop].Revision
		drop++
	}
	clear(h.events[:drop]) // let go of the objects now, not when the slice is next moved
	h.events = h.events[drop:]
	h.first += uint64(drop)
	h.broadcast()
}

// reset forgets everything: all that is known is the state at revision. The caller holds mu.
func (h *history) reset(revision uint64) {
	h.first += uint64(len(h.events)) + 1 // behind every position handed out, so that watchers see they fell behind
	h.events, h.bytes, h.floor = nil, 0, revision
	h.broadcast()
}

func (h *history) broadcast() {
	if h.wake != nil {
		close(h.wake)
		h.wake = nil
	}
}

func (h *history) waiter() <-chan struct{} {
	if h.wake == nil {
		h.wake = make(chan struct{})
	}
	return h.wake
}

// after is the number of kept events with a revision of at most rev. The caller holds mu.
func (h *history) after(rev uint64) int {
	return sort.Search(len(h.events), func(i int) bool { return h.events[i].Revision > rev })
}

func (e Event) size() int { return e.Prev.size() + e.Cur.size() }

// Key names the object that the event is about.
func (e Event) Key() Key {
	if e.Cur != nil {
		return e.Cur.key
	}
	return e.Prev.key
}

// Watcher reads the events behind one revision. It is for one goroutine, holds nothing but a position, and is dropped
// when it is no longer wanted.
type Watcher struct {
	history   *history
	resources map[string]bool // empty: all
	position  uint64
	revision  uint64
}

// Next blocks until there are events of interest and returns all of them, oldest first. It returns ErrExpired when the
// events this watcher has yet to see are no longer kept, or ctx's error when ctx ends.
func (w *Watcher) Next(ctx context.Context) ([]Event, error) {
	for {
		events, more, err := w.take()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Revision says that everything up to it has been delivered or was not of interest.
func (w *Watcher) Revision() uint64 { return w.revision }

func (w *Watcher) take() ([]Event, <-chan struct{}, error) {
	h := w.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.position < h.first {
		return nil, nil, ErrExpired
	}
	var events []Event
	for _, e := range h.events[w.position-h.first:] {
		if len(w.resources) == 0 || w.resources[e.Key().Resource] {
			events = append(events, e)
		}
		w.revision = e.Revision
	}
	w.position = h.first + uint64(len(h.events))
	return events, h.waiter(), nil
}
