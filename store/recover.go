package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"covey.dev/covey/store/raft"
)

// RevisionMargin is how far behind the revision of a state those begin that follow when it takes the place of a newer one, as after a
// recovery or out of a backup, so that none that was given out meanwhile comes again for something else.
const RevisionMargin = 1 << 20

// Recover makes the server whose files are in cfg.Dir, and which does not run, the only one of its cluster, and returns the revision of
// its state. Whatever the other servers have beyond that is no part of the cluster any more, and revisions go on behind theirs: who has
// watched or read there is told to begin anew.
func Recover(cfg Config) (revision uint64, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s, err := openFiles(cfg)
	if err != nil {
		return 0, fmt.Errorf("recover the state: %w", err)
	}
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	recovery := s.raftConfig(cfg)
	recovery.Machine = leaping{s.machine}
	if err := raft.Recover(recovery, RevisionMargin); err != nil {
		return 0, fmt.Errorf("recover the state: %w", err)
	}
	return s.Snapshot().Revision(), s.machine.flush()
}

// leaping is a machine whose snapshots are of a later revision. Its state file is not: the snapshot may never get to the disk.
type leaping struct{ *machine }

// Snapshot implements raft.Machine.
func (m leaping) Snapshot() func(io.Writer) error { return m.snapshotAt(RevisionMargin) }
