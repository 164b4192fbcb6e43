package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"covey.dev/covey/store/raft"
)

type (
	// Proposal is an entry that Update made on another server than the one that leads.
	Proposal = raft.Proposal
	// Fence is what the leader takes proposals for, until it closes it.
	Fence = raft.Fence
)

// Peers asks another server, named by its Raft ID, to do what only the leader can. Errors wrap ErrConflict, ErrNotLeader and
// ErrNotWritten where the other server's did; a server that could not be reached, so that it cannot have done anything, counts
// as ErrNotLeader. After any other error it may have done it.
type Peers interface {
	// Propose is ServePropose there.
	Propose(ctx context.Context, server string, p *Proposal) (revision uint64, err error)
	// ReadRevision is ServeReadRevision there.
	ReadRevision(ctx context.Context, server string) (uint64, Fence, error)
	// CloseFence is ServeCloseFence there.
	CloseFence(ctx context.Context, server string, f Fence) error
}

// ServePropose replicates an entry that Update made on another server, and returns the revision that it became. Its error
// wraps ErrConflict when the entry changed nothing, ErrNotLeader when this server does not lead or has closed the fence, and
// ErrNotWritten when its disk did not take it.
func (s *Store) ServePropose(ctx context.Context, p *Proposal) (uint64, error) {
	if len(p.Data) > maxEntry {
		return 0, fmt.Errorf("%w: an entry of %d bytes is above the limit of %d", ErrNotWritten, len(p.Data), maxEntry)
	}
	if _, err := decodeEntry(p.Data, s.codec.spoken); err != nil {
		return 0, fmt.Errorf("%w: refuse an entry of another server: %w", ErrNotWritten, err)
	}
	revision, err := s.node.Propose(ctx, p)
	return revision, storeError(err)
}

// ServeReadRevision returns a revision that includes every write acknowledged before the call, and the fence that stands;
// ErrNotLeader when this server does not lead.
func (s *Store) ServeReadRevision(ctx context.Context) (uint64, Fence, error) {
	fence, err := s.node.VerifyLeads(ctx)
	if err != nil {
		return 0, Fence{}, storeError(err)
	}
	return s.Snapshot().Revision(), fence, nil
}

// ServeCloseFence has no entry that was proposed for the fence get into the log after those that are there when it returns;
// ErrNotLeader when this server does not lead.
func (s *Store) ServeCloseFence(ctx context.Context, f Fence) error {
	return storeError(s.node.CloseFence(ctx, f))
}

// position is who leads, "" for this server, and its fence.
type position struct {
	leader string
	fence  Fence
}

// propose replicates entry exactly once, through the leader, and returns when it is applied here. Where no answer comes, because the
// leader or the way to it is lost, it learns from its own log what became of it.
func (s *Store) propose(ctx context.Context, at position, entry []byte) (uint64, error) {
	p := s.node.Track(at.fence, entry)
	defer p.Forget()
	if at.leader == "" {
		revision, err := s.node.Propose(ctx, &p.Proposal)
		if undecided(err) {
			return s.fate(ctx, p)
		}
		return revision, err
	}
	ask, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, 1)
	go func() { answers <- s.send(ask, at.leader, &p.Proposal) }()
	select {
	case a := <-answers:
		if !undecided(a.err) {
			return a.revision, a.err
		}
		go s.closeFence(ask, at.fence)
	case <-p.Decided():
	case <-ctx.Done():
	}
	return s.fate(ctx, p)
}

// answer is what Peers.Propose returned.
type answer struct {
	revision uint64
	err      error
}

func (s *Store) send(ctx context.Context, leader string, p *Proposal) answer {
	revision, err := s.peers.Propose(ctx, leader, p)
	if err != nil {
		return answer{err: fmt.Errorf("through the leader: %w", err)}
	}
	return answer{revision, s.table.reach(ctx, revision)}
}

// fate waits until the log says what became of p.
func (s *Store) fate(ctx context.Context, p *raft.Tracked) (uint64, error) {
	select {
	case <-p.Decided():
		return p.Fate()
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", ErrUnknown, context.Cause(ctx))
	}
}

// undecided says that a proposal that ended with err may or may not be in the log.
func undecided(err error) bool {
	return err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotLeader) && !errors.Is(err, raft.ErrNotLeader) &&
		!errors.Is(err, ErrNotWritten) && !errors.Is(err, raft.ErrClosed)
}

// closeFence has the leader, whoever it is now, put a newer mark into the log than that of the fence; so it ends what is
// undecided for the fence.
func (s *Store) closeFence(ctx context.Context, f Fence) {
	for {
		leader, _, err := s.node.WaitLeader(ctx)
		switch {
		case err != nil:
			return
		case leader == "":
			err = s.node.CloseFence(ctx, f)
		default:
			ask, cancel := s.asking(ctx, leader)
			err = s.peers.CloseFence(ask, leader, f)
			cancel()
		}
		if err == nil || !pause(ctx) {
			return
		}
	}
}

// current returns who leads once this replica has every write that was acknowledged before the call. It tries again while the
// leader cannot be reached, which ends when another is elected or with ctx.
func (s *Store) current(ctx context.Context) (position, error) {
	for {
		leader, fence, err := s.node.WaitLeader(ctx)
		if err != nil || leader == "" {
			return position{fence: fence}, storeError(err)
		}
		if s.peers == nil {
			return position{}, ErrNotLeader
		}
		revision, fence, err := s.readRevision(ctx, leader)
		if err == nil {
			return position{leader, fence}, s.table.reach(ctx, revision)
		}
		if !pause(ctx) {
			return position{}, fmt.Errorf("ask the leader how far it is: %w", err)
		}
	}
}

// askTimeout bounds one question to a leader that may be gone.
const askTimeout = 5 * time.Second

// asking is for one question to the leader: it also ends when that is known to lead no longer.
func (s *Store) asking(ctx context.Context, leader string) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithTimeout(ctx, askTimeout)
	ctx, cancel := s.node.WhileLeader(ctx, leader)
	return ctx, func() { cancel(); stop() }
}

func (s *Store) readRevision(ctx context.Context, leader string) (uint64, Fence, error) {
	ctx, cancel := s.asking(ctx, leader)
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
