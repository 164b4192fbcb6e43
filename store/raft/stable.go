package raft

import (
	"bytes"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// stableStore keeps Raft's term and vote. Raft panics when the term cannot be written, which on a full disk would end the
// process with every election; so writing is tried until it works. And it does not write what is there already.
type stableStore struct {
	*raftboltdb.BoltStore
	stop   chan struct{} // closed before Raft is shut down
	retry  time.Duration
	logger hclog.Logger
}

func (s *stableStore) Set(key, value []byte) error {
	if old, err := s.Get(key); err == nil && bytes.Equal(old, value) {
		return nil
	}
	return s.persist(func() error { return s.BoltStore.Set(key, value) })
}

func (s *stableStore) SetUint64(key []byte, value uint64) error {
	if old, err := s.GetUint64(key); err == nil && old == value {
		return nil
	}
	return s.persist(func() error { return s.BoltStore.SetUint64(key, value) })
}

func (s *stableStore) persist(write func() error) error {
	for {
		err := write()
		if err == nil {
			return nil
		}
		s.logger.Error("cannot save the term or vote, trying again", "error", err)
		select {
		case <-time.After(s.retry):
		case <-s.stop:
			// Neither answer would do: an error makes Raft panic, and success would let it act on a vote that is not on
			// disk. Its goroutine ends here instead, running its deferred calls; Raft is being shut down.
			runtime.Goexit()
		}
	}
}
