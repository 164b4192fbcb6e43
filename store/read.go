package store

import (
	"context"
	"errors"
	"fmt"

	"covey.dev/covey/store/raft"
)

// Snapshot returns the newest state of this replica, without waiting. After a start it lacks the newest writes until
// Leading says true.
func (s *Store) Snapshot() *Snapshot { return s.table.current.Load() }

// Linearizable returns a state that includes every write acknowledged before the call, and every event that a watch anywhere
// has seen. It writes nothing. While there is no leader it waits for one until ctx ends; when another server leads, it asks
// that one how far it is.
func (s *Store) Linearizable(ctx context.Context) (*Snapshot, error) {
	if s.node.IsCurrent() {
		// That it leads is not waited for: where its disk is full it cannot.
		if err := s.node.ReachCommitted(ctx); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		return s.Snapshot(), nil
	}
	for {
		at, err := s.current(ctx)
		if err == nil && at.leader == "" {
			_, err = s.node.VerifyLeads(ctx)
		}
		if err == nil {
			return s.Snapshot(), nil
		}
		moved := errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrUnknown)
		if !moved || s.peers == nil || !pause(ctx) {
			return nil, fmt.Errorf("read: %w", storeError(err))
		}
	}
}

// At returns the state as it was at revision rev, for reading a list page by page. It goes back as far as the history does:
// before that it returns ErrExpired, and ErrFuture for a revision that this replica has not seen.
func (s *Store) At(rev uint64) (*Snapshot, error) { return s.table.at(rev) }

// Watch returns a watcher of the events with a revision above from, of the named resources or, without any, of all. It
// returns ErrExpired when the history does not go back to from (it is empty after a start), and ErrFuture for a revision that this
// replica has not seen. A watcher costs a few words of memory and needs no closing.
func (s *Store) Watch(from uint64, resources ...string) (*Watcher, error) {
	return s.table.watch(from, resources)
}

func storeError(err error) error {
	if errors.Is(err, raft.ErrNotLeader) {
		return ErrNotLeader
	}
	return err
}
