package store

import (
	"sync/atomic"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// table is the state in memory: the newest snapshot and the events that led to it. Only the Raft state machine writes it.
type table struct {
	codec   *codec
	current atomic.Pointer[Snapshot]
	history *history
}

func newTable(c *codec, historyLimit int) *table {
	t := &table{codec: c, history: newHistory(historyLimit)}
	t.current.Store(&Snapshot{tree: iradix.New[*Record]()})
	return t
}

// load replaces everything with a state from disk. Nothing of what came before it is known.
func (t *table) load(s *Snapshot) {
	t.history.mu.Lock()
	defer t.history.mu.Unlock()
	t.current.Store(s)
	t.history.reset(s.revision)
}

// publish makes a new state and its events visible together.
func (t *table) publish(s *Snapshot, events []Event) {
	t.history.mu.Lock()
	defer t.history.mu.Unlock()
	t.current.Store(s)
	t.history.append(events)
}

// at rebuilds an older state by undoing the newest events: nothing has to be kept for it but the history.
func (t *table) at(rev uint64) (*Snapshot, error) {
	current, undo, err := t.since(rev)
	if err != nil || len(undo) == 0 {
		return current, err
	}
	txn := current.tree.Txn()
	for i := len(undo) - 1; i >= 0; i-- {
		key := []byte(undo[i].Key().encode())
		if undo[i].Prev == nil {
			txn.Delete(key)
		} else {
			txn.Insert(key, undo[i].Prev)
		}
	}
	return &Snapshot{revision: rev, tree: txn.CommitOnly()}, nil
}

func (t *table) since(rev uint64) (*Snapshot, []Event, error) {
	h := t.history
	h.mu.Lock()
	defer h.mu.Unlock()
	current := t.current.Load()
	switch {
	case rev > current.revision:
		return nil, nil, ErrFuture
	case rev < h.floor:
		return nil, nil, ErrExpired
	}
	events := h.events[h.after(rev):]
	return current, append([]Event(nil), events...), nil
}

func (t *table) watch(from uint64, resources []string) (*Watcher, error) {
	h := t.history
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case from > t.current.Load().revision:
		return nil, ErrFuture
	case from < h.floor:
		return nil, ErrExpired
	}
	w := &Watcher{history: h, revision: from, position: h.first + uint64(h.after(from))}
	if len(resources) > 0 {
		w.resources = make(map[string]bool, len(resources))
		for _, r := range resources {
			w.resources[r] = true
		}
	}
	return w, nil
}

// transaction applies entries to the tree, one after another, and publishes them together.
type transaction struct {
	table    *table
	txn      *iradix.Txn[*Record]
	revision uint64
	events   []Event
}

func (t *table) begin() *transaction {
	cur := t.current.Load()
	return &transaction{table: t, txn: cur.tree.Txn(), revision: cur.revision}
}

// apply makes one entry's effects, all or none. Its revision must be above every one before.
func (x *transaction) apply(revision uint64, effects []effect) error {
	for i := range effects {
		e := &effects[i]
		if err := e.check(x.txn.Get([]byte(e.key.encode()))); err != nil {
			return err
		}
	}
	for i := range effects {
		x.events = append(x.events, x.change(revision, &effects[i]))
	}
	if len(effects) > 0 {
		x.revision = revision
	}
	return nil
}

func (x *transaction) change(revision uint64, e *effect) Event {
	key := []byte(e.key.encode())
	event := Event{Revision: revision}
	if e.op == opDelete {
		event.Prev, _ = x.txn.Delete(key)
		return event
	}
	event.Cur = &Record{key: e.key, revision: revision, raw: e.raw, codec: x.table.codec}
	event.Prev, _ = x.txn.Insert(key, event.Cur)
	return event
}

func (x *transaction) commit() {
	if len(x.events) > 0 {
		x.table.publish(&Snapshot{revision: x.revision, tree: x.txn.CommitOnly()}, x.events)
	}
}
