package store

import (
	"context"
	"fmt"
	"time"
)

// Peers asks another server, named by its Raft ID, to do what only the leader can. Errors wrap ErrConflict and ErrNotLeader
// where the other server's did; a server that could not be reached, so that it cannot have done anything, counts as
// ErrNotLeader.
type Peers interface {
	// Propose is ServePropose there.
	Propose(ctx context.Context, server string, entry []byte) (revision uint64, err error)
	// ReadRevision is ServeReadRevision there.
	ReadRevision(ctx context.Context, server string) (uint64, error)
}

// ServePropose replicates an entry that Update made on another server, and returns the revision that it became. Its error
// wraps ErrConflict when the entry changed nothing, and ErrNotLeader when this server does not lead.
func (s *Store) ServePropose(ctx context.Context, entry []byte) (uint64, error) {
	if len(entry) > maxEntry {
		return 0, fmt.Errorf("an entry of %d bytes is above the limit of %d", len(entry), maxEntry)
	}
	if _, err := decodeEntry(entry); err != nil {
		return 0, fmt.Errorf("refuse an entry of another server: %w", err)
	}
	revision, err := s.node.Propose(ctx, entry)
	return revision, leaderError(err)
}

// ServeReadRevision returns a revision that includes every write acknowledged before the call; ErrNotLeader when this server
// does not lead.
func (s *Store) ServeReadRevision(ctx context.Context) (uint64, error) {
	if err := s.node.VerifyLeads(ctx); err != nil {
		return 0, leaderError(err)
	}
	return s.Snapshot().Revision(), nil
}

// propose replicates entry, through leader when that is another server, and returns when it is applied here.
func (s *Store) propose(ctx context.Context, leader string, entry []byte) (uint64, error) {
	if leader == "" {
		return s.node.Propose(ctx, entry)
	}
	revision, err := s.peers.Propose(ctx, leader, entry)
	if err != nil {
		return 0, fmt.Errorf("through the leader: %w", err)
	}
	return revision, s.table.reach(ctx, revision)
}

// current returns the server that leads, "" for this one, once this replica has every write that was acknowledged before the
// call. It tries again while the leader cannot be reached, which ends when another is elected or with ctx.
func (s *Store) current(ctx context.Context) (leader string, err error) {
	for {
		leader, err = s.node.WaitLeader(ctx)
		if err != nil || leader == "" {
			return "", leaderError(err)
		}
		if s.peers == nil {
			return "", ErrNotLeader
		}
		revision, err := s.readRevision(ctx, leader)
		if err == nil {
			return leader, s.table.reach(ctx, revision)
		}
		if !pause(ctx) {
			return "", fmt.Errorf("ask the leader how far it is: %w", err)
		}
	}
}

// askTimeout bounds one question to a leader that may be gone.
const askTimeout = time.Second

func (s *Store) readRevision(ctx context.Context, leader string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return s.peers.ReadRevision(ctx, leader)
}

// retryPause is how long after a leader gave no answer the next question is asked.
const retryPause = 20 * time.Millisecond

// pause reports whether ctx goes on after it.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(retryPause):
		return true
	case <-ctx.Done():
		return false
	}
}

// reach waits until the table is at revision or beyond.
func (t *table) reach(ctx context.Context, revision uint64) error {
	for {
		t.history.mu.Lock()
		there, more := t.current.Load().revision >= revision, t.history.waiter()
		t.history.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
