package raft

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

// failurePause is how long a failed write keeps Raft from trying the next one, which a server that is alone would do at once,
// again and again.
const failurePause = 250 * time.Millisecond

// segments is the log, and the file that says which segments it has. The one does not close the other.
//
// After a write that failed, on a full disk for one, raft-wal's picture of the files no longer agrees with them and every later write
// fails too. So the log is then opened anew from what is on the disk before the next write.
type segments struct {
	mu     sync.RWMutex
	wal    *wal.WAL
	meta   *metadb.BoltMetaDB
	failed bool
	cut    bool // the end was deleted, and nothing was written since
	reopen func() (*segments, error)
	stop   <-chan struct{} // closed before Raft is shut down

	committed atomic.Uint64 // up to which entry all that there is is known to be
}

var _ hraft.LogStore = (*segments)(nil)

// FirstIndex implements hraft.LogStore.
func (s *segments) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.wal.FirstIndex()
}

// LastIndex implements hraft.LogStore.
func (s *segments) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.wal.LastIndex()
}

// GetLog implements hraft.LogStore.
func (s *segments) GetLog(index uint64, entry *hraft.Log) error {
	_, err := s.get(index, entry)
	return err
}

// get also returns how far the log was committed when the entry was written, as far as the entry says.
func (s *segments) get(index uint64, entry *hraft.Log) (committed uint64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.wal.GetLog(index, entry); err != nil {
		return 0, err
	}
	entry.Extensions, committed = cutTrailer(entry.Extensions)
	return committed, nil
}

// DeleteRange implements hraft.LogStore. The end of the log is deleted when a leader has other entries: they come next.
func (s *segments) DeleteRange(from, to uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, err := s.wal.LastIndex()
	if err == nil {
		err = s.wal.DeleteRange(from, to)
	}
	if s.note(err) != nil {
		if last, err = s.deleteAgain(from, to); err != nil {
			return err
		}
	}
	s.cut = s.cut || to >= last
	return nil
}

// deleteAgain deletes what is left of a range after a failure, and returns which entry was the last before.
func (s *segments) deleteAgain(from, to uint64) (last uint64, err error) {
	if err := s.renew(); err != nil {
		return 0, fmt.Errorf("open the log again after a failed deletion: %w", err)
	}
	first, err := s.wal.FirstIndex()
	if err != nil {
		return 0, err
	}
	if last, err = s.wal.LastIndex(); err != nil {
		return 0, err
	}
	if from, end := max(from, first), min(to, last); from <= end {
		err = s.wal.DeleteRange(from, end)
	}
	return last, err
}

// StoreLog implements hraft.LogStore.
func (s *segments) StoreLog(entry *hraft.Log) error { return s.StoreLogs([]*hraft.Log{entry}) }

// StoreLogs implements hraft.LogStore. Behind a deleted end it goes on until it succeeds: hashicorp/raft takes the log for as long as it was
// until then, and would look for what was deleted with each further message, in vain.
func (s *segments) StoreLogs(entries []*hraft.Log) error {
	for {
		cut, err := s.write(entries)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(failurePause):
		case <-s.stop:
			return err
		}
		if !cut {
			return err
		}
	}
}

// write also says whether the end of the log was deleted before.
func (s *segments) write(entries []*hraft.Log) (cut bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed && len(entries) > 0 {
		if err := s.repair(entries[0].Index); err != nil {
			return s.cut, fmt.Errorf("open the log again after a failed write: %w", err)
		}
	}
	err = s.note(s.wal.StoreLogs(s.tagged(entries)))
	s.cut = s.cut && err != nil
	return s.cut, err
}

// commit takes note that the log is committed up to an entry, which never is less than what was said before. It has one caller at a time.
func (s *segments) commit(index uint64) { s.committed.Store(max(index, s.committed.Load())) }

// tagged has the last of the entries, which others read too, say how far the log is committed.
func (s *segments) tagged(entries []*hraft.Log) []*hraft.Log {
	committed := s.committed.Load()
	if len(entries) == 0 || committed == 0 {
		return entries
	}
	last := *entries[len(entries)-1]
	last.Extensions = withTrailer(last.Extensions, committed)
	return append(slices.Clone(entries[:len(entries)-1]), &last)
}

func (s *segments) note(err error) error {
	s.failed = s.failed || err != nil
	return err
}

// repair opens the log from the disk. What a failed write left there from index on was refused to whoever asked for it, so it goes.
func (s *segments) repair(index uint64) error {
	if err := s.renew(); err != nil {
		return err
	}
	last, err := s.wal.LastIndex()
	if err != nil {
		return err
	}
	if last >= index {
		if err := s.wal.DeleteRange(index, last); err != nil {
			return err
		}
	}
	s.failed = false
	return nil
}

// renew opens the log from the disk.
func (s *segments) renew() error {
	// Closing what is closed does nothing. Until it is open again, reads say that it is closed.
	if err := errors.Join(s.wal.Close(), s.meta.Close()); err != nil {
		return err
	}
	fresh, err := s.reopen()
	if err != nil {
		return err
	}
	s.wal, s.meta = fresh.wal, fresh.meta
	return nil
}

// Close closes the files.
func (s *segments) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.wal.Close(), s.meta.Close())
}
