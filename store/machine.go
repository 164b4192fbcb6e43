package store

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"covey.dev/covey/store/boltfile"
	"covey.dev/covey/store/protocol"
	"covey.dev/covey/store/raft"
)

// machine applies the log to the table in memory, and remembers what the state file has not got yet.
type machine struct {
	codec  *codec
	table  *table
	file   *stateFile
	failed chan error // receives the one error that the store cannot go on after

	mu       sync.Mutex
	broken   error
	dirty    map[string]*Record // what changed since the state file was written; nil: deleted
	revision uint64             // of the table, when dirty was last added to
	size     int                // of dirty, in bytes
	written  uint64             // the state file's revision
	changed  chan struct{}      // holds one token when something became dirty
	full     chan struct{}      // holds one token when too much is dirty

	writing sync.Mutex // held while the state file is written
}

const (
	// So much may be dirty before the state file is written, however busy the store is; and where there is more, three quarters
	// of all objects. Their keys are all over the file, so that writing a few costs as much as writing it all.
	dirtyRecords = 32768
	dirtyBytes   = 64 << 20
	usualBytes   = 2 << 10 // of a record, at most
)

var _ raft.Machine = (*machine)(nil)

func newMachine(c *codec, t *table, f *stateFile, state *Snapshot) *machine {
	t.load(state)
	return &machine{
		codec: c, table: t, file: f,
		failed: make(chan error, 1), changed: make(chan struct{}, 1), full: make(chan struct{}, 1),
		dirty: map[string]*Record{}, revision: state.revision, written: state.revision,
	}
}

// Check implements raft.Machine.
func (m *machine) Check(data []byte) error {
	_, err := decodeEntry(data, m.codec.spoken)
	var mismatch *protocol.Mismatch
	if err != nil && !errors.As(err, &mismatch) {
		return fmt.Errorf("%w: %w", boltfile.ErrDamaged, err)
	}
	return err
}

// Empty implements raft.Machine. It is in the format that every version reads.
func (m *machine) Empty() []byte { return encodeEntry(nil, entryFormat1) }

// Revision implements raft.Machine.
func (m *machine) Revision() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.written
}

// Objects implements raft.Machine.
func (m *machine) Objects() int { return m.table.current.Load().tree.Len() }

// SnapshotRevision implements raft.Machine.
func (m *machine) SnapshotRevision(r io.Reader) (uint64, error) {
	return readStreamRevision(r, m.codec)
}

// Apply implements raft.Machine: each entry changes all it names or nothing, and all of them become visible at once.
func (m *machine) Apply(entries []raft.Entry) []error {
	answers := make([]error, len(entries))
	tx := m.table.begin()
	for i, entry := range entries {
		answers[i] = m.apply(tx, entry)
	}
	m.remember(tx)
	tx.commit()
	return answers
}

func (m *machine) apply(tx *transaction, entry raft.Entry) error {
	if entry.Index <= tx.revision {
		return nil // the state file had it already
	}
	if m.broken != nil {
		return m.broken
	}
	effects, err := decodeEntry(entry.Data, m.codec.spoken)
	if err == nil {
		err = m.codec.checkEffects(effects)
	}
	if err != nil {
		// To go on without it would be to have another state than the other replicas.
		return m.stop(fmt.Errorf("apply log entry %d: %w", entry.Index, err))
	}
	return tx.apply(entry.Index, effects)
}

// stop ends the store with an error: what comes behind it in the log is not applied.
func (m *machine) stop(err error) error {
	if m.broken == nil {
		m.broken = err
		m.failed <- err
	}
	return m.broken
}

func (m *machine) remember(tx *transaction) {
	if len(tx.events) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range tx.events {
		m.dirty[e.Key().encode()] = e.Cur
		m.size += e.Cur.size()
	}
	m.revision = tx.revision
	signal(m.changed)
	if m.tooMuch() {
		signal(m.full)
	}
}

func (m *machine) tooMuch() bool {
	objects := m.Objects()
	return len(m.dirty) >= max(dirtyRecords, objects*3/4) || m.size >= max(dirtyBytes, objects*usualBytes)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Snapshot implements raft.Machine. The state file is brought up to date first, so that the next start need not restore
// the snapshot. There is none of a state that lacks entries which Raft takes for applied: the log would be cut behind them.
func (m *machine) Snapshot() func(io.Writer) error { return m.snapshotAt(0) }

// snapshotAt is Snapshot, of a state whose revision is later by a margin.
func (m *machine) snapshotAt(margin uint64) func(io.Writer) error {
	v, broken := m.table.current.Load(), m.broken
	return func(w io.Writer) error {
		if broken != nil {
			return broken
		}
		if err := m.flush(); err != nil {
			return err
		}
		return (&Snapshot{revision: v.revision + margin, tree: v.tree}).writeStream(w)
	}
}

// Restore implements raft.Machine.
func (m *machine) Restore(r io.Reader) error {
	v, err := readStream(r, m.codec)
	var mismatch *protocol.Mismatch
	if errors.As(err, &mismatch) {
		return m.stop(err)
	}
	if err != nil {
		return err
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	if err := m.file.replace(v); err != nil {
		return err
	}
	m.mu.Lock()
	m.dirty, m.size = map[string]*Record{}, 0
	m.revision, m.written = v.revision, v.revision
	m.mu.Unlock()
	m.table.load(v)
	return nil
}

// flush writes what is dirty to the state file, in one transaction.
func (m *machine) flush() error {
	m.writing.Lock()
	defer m.writing.Unlock()
	m.mu.Lock()
	dirty, size, revision := m.dirty, m.size, m.revision
	if revision == m.written {
		m.mu.Unlock()
		return nil
	}
	m.dirty, m.size = map[string]*Record{}, 0
	m.mu.Unlock()

	err := m.file.write(dirty, revision)

	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.written = revision
		return nil
	}
	for key, r := range dirty {
		if _, newer := m.dirty[key]; !newer {
			m.dirty[key] = r
		}
	}
	m.size += size
	return err
}
