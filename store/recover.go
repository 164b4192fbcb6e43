package store

import (
	"errors"
	"fmt"
	"log/slog"

	"covey.dev/covey/store/raft"
)

// Recover makes the server whose files are in cfg.Dir, and which does not run, the only one of its cluster, and returns the revision of
// its state. Whatever the other servers have beyond that is no part of the cluster any more.
func Recover(cfg Config) (revision uint64, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s, err := openFiles(cfg)
	if err != nil {
		return 0, fmt.Errorf("recover the state: %w", err)
	}
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	if err := raft.Recover(s.raftConfig(cfg)); err != nil {
		return 0, fmt.Errorf("recover the state: %w", err)
	}
	return s.Snapshot().Revision(), s.machine.flush()
}
