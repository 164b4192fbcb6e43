package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"covey.dev/covey/store/boltfile"
)

// Mirror is a part of the cluster's state on a node that has no replica: it is told what changes, and remembers it in a file, so
// that a restart begins with what was known last. It has the reading half of a Store.
type Mirror struct {
	table   *table
	machine *machine
	flusher *flusher
	file    *stateFile
}

// Change is what has become of one object.
type Change struct {
	Key      Key
	Revision uint64 // of the object's last change
	Data     []byte // the stored object; nil: deleted
}

// Change is the record as a Mirror is told of it.
func (r *Record) Change() Change { return Change{Key: r.key, Revision: r.revision, Data: r.raw} }

const (
	// The file is written when the changes pause, or have gone on for a while: a pod that starts is written once.
	mirrorQuiet  = time.Second
	mirrorLatest = 10 * time.Second
)

// OpenMirror opens the file at path, made when it is missing, and reads what it knows. A damaged file is set aside. Run must be
// called, if only with a cancelled context to close it again.
func OpenMirror(path string, scheme *runtime.Scheme, logger *slog.Logger) (*Mirror, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	c := newCodec(scheme)
	file, state, err := openStateFile(path, c)
	if errors.Is(err, boltfile.ErrDamaged) {
		logger.Error("the checkpoint is damaged; it is set aside, and made again by what the servers say", "error", err)
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, fmt.Errorf("open checkpoint: %w", err)
		}
		file, state, err = openStateFile(path, c)
	}
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	t := newTable(c, 0)
	m := newMachine(c, t, file, state)
	return &Mirror{table: t, machine: m, file: file, flusher: &flusher{
		machine: m, logger: logger, retry: flushRetry, quiet: mirrorQuiet, latest: mirrorLatest,
	}}, nil
}

// Run writes the file behind the changes until ctx ends, then writes what is left and closes it.
func (m *Mirror) Run(ctx context.Context) error {
	m.flusher.run(ctx)
	return errors.Join(m.machine.flush(), m.file.close())
}

// Snapshot returns what is known.
func (m *Mirror) Snapshot() *Snapshot { return m.table.current.Load() }

// Watch is Store.Watch.
func (m *Mirror) Watch(from uint64, resources ...string) (*Watcher, error) {
	return m.table.watch(from, resources)
}

// At is Store.At.
func (m *Mirror) At(rev uint64) (*Snapshot, error) { return m.table.at(rev) }

// Apply takes over what has changed up to a revision of the cluster. It has one caller at a time.
func (m *Mirror) Apply(revision uint64, changes []Change) {
	tx := m.table.begin()
	for _, c := range changes {
		tx.take(revision, c)
	}
	m.machine.remember(tx)
	tx.commit()
}

// Replace takes over all that there is at a revision of the cluster: what is not among objects is deleted. It has one caller at a time.
func (m *Mirror) Replace(revision uint64, objects []Change) {
	known := m.Snapshot()
	there := make(map[Key]bool, len(objects))
	var changes []Change
	for _, c := range objects {
		there[c.Key] = true
		if r, ok := known.Get(c.Key); !ok || r.revision != c.Revision {
			changes = append(changes, c)
		}
	}
	it := known.tree.Root().Iterator()
	for _, r, ok := it.Next(); ok; _, r, ok = it.Next() {
		if !there[r.key] {
			changes = append(changes, Change{Key: r.key})
		}
	}
	if revision >= known.revision {
		m.Apply(revision, changes)
		return
	}
	// The cluster was made anew. Events only go forward, so whoever follows them begins again.
	m.Apply(known.revision+1, changes)
	m.table.history.mu.Lock()
	defer m.table.history.mu.Unlock()
	restarted := *m.Snapshot()
	restarted.revision = revision
	m.table.current.Store(&restarted)
	m.table.history.reset(revision)
}

// take makes one change that was told; what is known already is no event.
func (x *transaction) take(revision uint64, c Change) {
	key := []byte(c.Key.encode())
	before, known := x.txn.Get(key)
	event := Event{Revision: revision, Prev: before}
	switch {
	case c.Data == nil && !known, known && c.Data != nil && before.revision == c.Revision:
		return
	case c.Data == nil:
		x.txn.Delete(key)
	default:
		event.Cur = &Record{key: c.Key, revision: c.Revision, raw: c.Data, codec: x.table.codec}
		x.txn.Insert(key, event.Cur)
	}
	x.events = append(x.events, event)
	x.revision = revision
}
