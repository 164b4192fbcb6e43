package raft

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

type stableFixture struct {
	*stableStore
	path string
}

func newStable(t *testing.T) stableFixture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raft.db")
	bolt, err := raftboltdb.NewBoltStore(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bolt.Close() })
	s := &stableStore{BoltStore: bolt, stop: make(chan struct{}), retry: time.Microsecond, logger: hclog.NewNullLogger()}
	return stableFixture{s, path}
}

func TestStableStoreDoesNotWriteWhatIsThere(t *testing.T) {
	s := newStable(t)
	key := []byte("CurrentTerm")
	if err := s.SetUint64(key, 3); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetUint64(key, 3); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(s.path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file was written (%v)", err)
	}
}

func TestStableStoreTriesUntilItIsStopped(t *testing.T) {
	s := newStable(t)
	failures := 3
	if err := s.persist(func() error {
		if failures--; failures >= 0 {
			return errors.New("disk full")
		}
		return nil
	}); err != nil || failures != -1 {
		t.Errorf("%v, %d failures left", err, failures)
	}
	ended := make(chan bool)
	returned := false
	go func() {
		defer func() { ended <- true }()
		_ = s.persist(func() error { return errors.New("disk full") })
		returned = true
	}()
	close(s.stop)
	<-ended
	if returned {
		t.Error("Raft was told something about a vote that is not on disk")
	}
}
