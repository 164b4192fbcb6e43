package raft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	waltypes "github.com/hashicorp/raft-wal/types"

	"covey.dev/covey/store/boltfile"
	"covey.dev/covey/store/raft/direct"
)

// segmentSize is how much of the log is one file, and what is given back to the disk at once.
const segmentSize = 4 << 20

// disk is what Raft keeps in the directory.
type disk struct {
	path      string // of the log's directory
	log       *segments
	stable    *stableStore
	snapshots *hraft.FileSnapshotStore
	commits   *note // nil where none can be kept
	logger    hclog.Logger

	snapshot *hraft.SnapshotMeta // the newest when verify was called; nil: there was none
}

func openDisk(dir string, segment int, logger hclog.Logger) (_ *disk, err error) {
	d := &disk{path: filepath.Join(dir, "log"), logger: logger}
	db, err := openStable(filepath.Join(dir, "raft.db"))
	if err != nil {
		return nil, err
	}
	d.stable = &stableStore{BoltStore: db, stop: make(chan struct{}), retry: time.Second, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if err := moveLog(db, d.path, segment, logger); err != nil {
		return nil, fmt.Errorf("move the Raft log from %s to %s: %w", filepath.Join(dir, "raft.db"), d.path, err)
	}
	if d.log, err = openLog(d.path, segment, logger); err != nil {
		return nil, fmt.Errorf("open the Raft log: %w", err)
	}
	d.log.stop = d.stable.stop
	// One snapshot is kept: the log begins behind it, so an older one would be of no use.
	d.snapshots, err = hraft.NewFileSnapshotStoreWithLogger(dir, 1, logger)
	if err != nil {
		return nil, fmt.Errorf("open the Raft snapshots: %w", err)
	}
	path := filepath.Join(dir, noteFile)
	if d.commits, err = openNote(path); err != nil {
		d.forgo(path, err)
	}
	return d, nil
}

func openStable(path string) (db *raftboltdb.BoltStore, err error) {
	if err := boltfile.Verify(path); err != nil {
		return nil, fmt.Errorf("open Raft's term and vote: %w", err)
	}
	err = boltfile.Guard(path, func() (err error) {
		db, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltfile.Options()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open Raft's term and vote: %w", err)
	}
	return db, nil
}

// openLog opens the log's segments, of which there may be none yet.
func openLog(dir string, size int, logger hclog.Logger) (*segments, error) {
	s, err := openSegments(dir, size, logger)
	if err == nil {
		s.reopen = func() (*segments, error) { return openSegments(dir, size, logger) }
	}
	return s, err
}

func openSegments(dir string, size int, logger hclog.Logger) (*segments, error) {
	if err := boltfile.Verify(filepath.Join(dir, metadb.FileName)); err != nil {
		return nil, err
	}
	s := &segments{meta: &metadb.BoltMetaDB{}}
	err := boltfile.Guard(dir, func() (err error) {
		if err := finishSeal(dir, s.meta); err != nil {
			return err
		}
		s.wal, err = wal.Open(dir, wal.WithMetaStore(s.meta), wal.WithSegmentFiler(segment.NewFiler(dir, direct.New())),
			wal.WithSegmentSize(size), wal.WithLogger(logger))
		return err
	})
	if err == nil {
		return s, nil
	}
	if errors.Is(err, waltypes.ErrCorrupt) || errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", boltfile.ErrDamaged, err)
	}
	return nil, errors.Join(err, s.meta.Close())
}

// verify reads the log through and compares it with the newest snapshot and with what the machine has, because Raft would
// panic over a gap. It returns whether the machine's own state makes restoring the snapshot unnecessary.
func (d *disk) verify(m Machine) (current bool, err error) {
	snapshots, err := d.snapshots.List()
	if err != nil {
		return false, fmt.Errorf("list the Raft snapshots: %w", err)
	}
	if len(snapshots) > 0 {
		d.snapshot = snapshots[0]
	}
	snapshot := d.snapshotIndex()
	last, err := d.verifyLog(m, snapshot)
	if err != nil {
		return false, fmt.Errorf("read the Raft log: %w", err)
	}
	if m.Revision() > max(last, snapshot) {
		return false, fmt.Errorf("%s: %w: it ends at entry %d, but the state is at revision %d",
			d.path, boltfile.ErrDamaged, max(last, snapshot), m.Revision())
	}
	if snapshot <= m.Revision() {
		return true, nil
	}
	// The snapshot's index counts entries that change nothing, so it may be higher though the state is the same.
	_, r, err := d.snapshots.Open(snapshots[0].ID)
	if err != nil {
		return false, fmt.Errorf("open Raft snapshot %s: %w", d.snapshotPath(snapshots[0].ID), err)
	}
	defer r.Close()
	revision, err := m.SnapshotRevision(r)
	if err != nil {
		return false, fmt.Errorf("read Raft snapshot %s: %w", d.snapshotPath(snapshots[0].ID), err)
	}
	return revision <= m.Revision(), nil
}

func (d *disk) snapshotPath(id string) string {
	return filepath.Join(filepath.Dir(d.path), "snapshots", id)
}

// verifyLog returns the index of the log's last entry, 0 for an empty log.
func (d *disk) verifyLog(m Machine, snapshot uint64) (last uint64, err error) {
	err = boltfile.Guard(d.path, func() error {
		first, err := d.log.FirstIndex()
		if err != nil {
			return err
		}
		if last, err = d.log.LastIndex(); err != nil {
			return err
		}
		if first > snapshot+1 {
			return fmt.Errorf("%w: it begins at entry %d, but there is no snapshot of what came before", boltfile.ErrDamaged, first)
		}
		for i := max(first, 1); i <= last; i++ {
			var entry hraft.Log
			committed, err := d.log.get(i, &entry)
			if err != nil {
				return fmt.Errorf("%w: entry %d: %w", boltfile.ErrDamaged, i, err)
			}
			if entry.Index != i {
				return fmt.Errorf("%w: entry %d says that it is entry %d", boltfile.ErrDamaged, i, entry.Index)
			}
			d.log.commit(min(committed, i))
			if entry.Type != hraft.LogCommand {
				continue
			}
			if err := m.Check(entry.Data); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
		}
		return nil
	})
	return last, err
}

// empty says that nothing was ever decided here. A term alone may be left by a first start that was cut off.
func (d *disk) empty() (bool, error) {
	last, err := d.log.LastIndex()
	if err != nil {
		return false, fmt.Errorf("read the Raft log: %w", err)
	}
	snapshots, err := d.snapshots.List()
	if err != nil {
		return false, fmt.Errorf("list the Raft snapshots: %w", err)
	}
	return last == 0 && len(snapshots) == 0, nil
}

func (d *disk) close() error {
	var errs []error
	if d.log != nil {
		errs = append(errs, d.log.Close())
	}
	if d.commits != nil {
		errs = append(errs, d.commits.close())
	}
	if err := errors.Join(append(errs, d.stable.Close())...); err != nil {
		return fmt.Errorf("close the Raft log: %w", err)
	}
	return nil
}

// removeStale deletes snapshots that a crash left half written; nothing else ever would.
func removeStale(dir string) error {
	stale, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.tmp"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove a half-written snapshot: %w", err)
		}
	}
	return nil
}

// watchedLog remembers how the last write of the log went, for the errors of those who wait for a leader, and tells that it grew.
type watchedLog struct {
	hraft.LogStore
	grown   func()
	failure atomic.Pointer[error] // nil after a success
}

func (l *watchedLog) StoreLog(entry *hraft.Log) error { return l.StoreLogs([]*hraft.Log{entry}) }

func (l *watchedLog) StoreLogs(entries []*hraft.Log) error {
	err := l.LogStore.StoreLogs(entries)
	if err != nil {
		l.failure.Store(&err)
	} else {
		l.failure.Store(nil)
		l.grown()
	}
	return err
}

// IsMonotonic implements hraft.MonotonicLogStore: after a snapshot from the leader the log is begun anew, without a gap.
func (l *watchedLog) IsMonotonic() bool { return true }
