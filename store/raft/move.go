package raft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/hashicorp/raft-wal/migrate"

	"covey.dev/covey/store/boltfile"
)

// keyMoved in raft.db says that the log is in its own directory, so that this one's loss is noticed.
var keyMoved = []byte("LogInSegments")

// moveLog makes the log's directory. Older versions of covey had the log in raft.db: it is copied into a directory that gets
// its name when it is whole, and only then deleted where it was, so that a crash at any point loses nothing.
func moveLog(db *raftboltdb.BoltStore, dir string, segment int, logger hclog.Logger) error {
	_, statErr := os.Stat(dir)
	switch {
	case statErr == nil:
	case !errors.Is(statErr, os.ErrNotExist):
		return statErr
	case moved(db):
		return fmt.Errorf("%s: %w: it is missing", dir, boltfile.ErrDamaged)
	default:
		if err := copyLog(db, dir, segment, logger); err != nil {
			return err
		}
	}
	if !moved(db) {
		if err := db.Set(keyMoved, []byte{1}); err != nil {
			return err
		}
	}
	first, err := db.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	last, err := db.LastIndex()
	if err != nil {
		return err
	}
	return db.DeleteRange(first, last)
}

func moved(db *raftboltdb.BoltStore) bool {
	_, err := db.Get(keyMoved)
	return err == nil
}

func copyLog(db *raftboltdb.BoltStore, dir string, segment int, logger hclog.Logger) error {
	unfinished := dir + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		return err
	}
	log, err := openLog(unfinished, segment, logger)
	if err != nil {
		return err
	}
	const batch = 1 << 20 // bytes
	last, err := db.LastIndex()
	if err == nil && last > 0 {
		err = boltfile.Guard("raft.db", func() error { return migrate.CopyLogs(context.Background(), log, db, batch, nil) })
	}
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	if err := os.Rename(unfinished, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
