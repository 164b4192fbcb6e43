package store

import (
	"context"
	"errors"
	"fmt"
)

const (
	// updateTries is how often Update runs a transaction before it gives up because of conflicts. On a server that does not
	// lead, those that do are always a little faster, so it is many.
	updateTries = 50
	// maxEntry is the greatest size of a transaction, in bytes, where Config names no other.
	maxEntry = 16 << 20
)

// Update runs fn on a transaction over the newest state, replicates its effects as one log entry, and returns the
// revision that it has become when the entry has been applied here: Snapshot includes it.
//
//   - An error of fn is returned as it is, and nothing is written.
//   - For a transaction that is larger than the limit (Config) the error is ErrTooLarge, and nothing is written.
//   - A transaction without effects writes nothing; the revision is that of the state it read.
//   - When an object named by an effect changed after the state was read, fn is run again on a newer one; after a few times,
//     or when the state that fn read contradicts its own effects, the error is ErrConflict.
//   - While there is no leader, as during the start, Update waits for one. When another server leads, fn runs here on a state
//     that includes every write acknowledged before the call, and the leader replicates the entry.
//   - A change of the leader is a delay: the entry gets into the log once, wherever the old leader and the answers were lost.
//   - When ctx ends the error wraps ctx's, and ErrUnknown if the write may or may not happen; so does that of a server that was
//     cut off for so long in the meantime that it has to be sent a snapshot. After other errors, such as a full disk, it did not
//     happen. A disk that is full on the leader is waited for where another server may come to lead.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) (uint64, error) {
	sure := false // a state read from now on has every write acknowledged before the call
	for try := 1; ; try++ {
		at, err := s.current(ctx)
		if err != nil {
			return 0, fmt.Errorf("write: %w", err)
		}
		sure = sure || at.leader != ""
		read := s.Snapshot()
		entry, err := s.run(read, fn)
		if entry == nil {
			if !sure {
				// What this server has applied may lack what another one has, and it may have been deposed: a write would
				// fail then, but this is only read.
				if _, err := s.Linearizable(ctx); err != nil {
					return 0, fmt.Errorf("write: %w", err)
				}
				sure = true
				if s.Snapshot() != read {
					try--
					continue
				}
			}
			if err != nil {
				return 0, err
			}
			return read.revision, nil
		}
		revision, err := s.propose(ctx, at, entry)
		switch err = storeError(err); {
		case err == nil:
			return revision, nil
		case s.elsewhere(err) && pause(ctx):
			try-- // nothing was written
		case !errors.Is(err, ErrConflict):
			return 0, fmt.Errorf("write: %w", err)
		case try == updateTries:
			return 0, fmt.Errorf("%w, %d times in a row", err, try)
		}
	}
}

// elsewhere says that a leader did not write and another one may.
func (s *Store) elsewhere(err error) bool {
	return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNotWritten) && s.node.Voters() > 1
}

// run returns the entry of the transaction that fn makes of a state, nil when there is nothing to write or an error.
func (s *Store) run(read *Snapshot, fn func(*Tx) error) (entry []byte, err error) {
	tx := &Tx{snapshot: read, codec: s.codec}
	if err := fn(tx); err != nil {
		return nil, err
	}
	if tx.err != nil || len(tx.effects) == 0 {
		return nil, tx.err
	}
	if err := tx.conflict(); err != nil {
		return nil, err // running fn again would not help
	}
	entry = encodeEntry(tx.effects, s.codec.version(read))
	if len(entry) > s.limit {
		return nil, fmt.Errorf("write: %w: %d bytes are above the limit of %d", ErrTooLarge, len(entry), s.limit)
	}
	return entry, nil
}
