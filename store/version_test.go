package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"

	"covey.dev/covey/store/protocol"
)

// older is a covey that knows the first protocol version only.
func older(cfg *Config) { cfg.Protocol = protocol.First }

func agree(t *testing.T, s *Store, version int) {
	t.Helper()
	if err := s.Agree(testContext(t), version); err != nil {
		t.Fatal(err)
	}
}

// tooOld gives an error that is not the one of a covey which speaks the first version in a cluster that speaks the second.
func tooOld(err error) error {
	var mismatch *protocol.Mismatch
	if !errors.As(err, &mismatch) || *mismatch != (protocol.Mismatch{Spoken: protocol.First, Version: 2}) {
		return fmt.Errorf("it ends with: %w", err)
	}
	return nil
}

func TestWhatWasAgreedOnNeverFalls(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, dir)
	if got := s.Snapshot().Agreed(); got != 1 {
		t.Errorf("a new cluster has agreed on %d", got)
	}
	set(t, s, "default", "a", "1")
	first := backup(t, s)
	agree(t, s, 2)
	agree(t, s, 1)
	second := backup(t, s)
	if err := s.Agree(testContext(t), 3); err == nil {
		t.Error("it agrees on what this covey does not speak")
	}
	old, err := ReadBackup(bytes.NewReader(first), scheme.Scheme)
	check(t, err)
	if _, err := s.Restore(testContext(t), old, nil, nil); err != nil {
		t.Fatal(err)
	}
	stop()
	if s, _ = start(t, dir); s.Snapshot().Agreed() != 2 || value(s.Snapshot(), "default", "a") != "1" {
		t.Errorf("after a restore and a restart it has agreed on %d", s.Snapshot().Agreed())
	}
	if v, err := ReadBackup(bytes.NewReader(second), scheme.Scheme); err != nil || v.Agreed() != 2 {
		t.Errorf("the backup is of a cluster that agreed on %d: %v", v.Agreed(), err)
	}
}

// files are what is in a directory, but for the lock and the term and vote, which each start opens with an empty transaction.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" || d.Name() == "raft.db" {
			return err
		}
		data, err := os.ReadFile(path)
		found[path] = string(data)
		return err
	}))
	return found
}

// TestAnOlderCoveyLeavesTheStateAlone opens what a newer one has written, as its log, its state file, and its snapshot.
func TestAnOlderCoveyLeavesTheStateAlone(t *testing.T) {
	for name, prepare := range map[string]func(*Store, string) error{
		"state file": func(*Store, string) error { return nil },
		"log alone":  func(_ *Store, dir string) error { return os.Remove(filepath.Join(dir, "state.db")) },
		"snapshot and no state file": func(_ *Store, dir string) error {
			return os.Remove(filepath.Join(dir, "state.db"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, stop := start(t, dir)
			set(t, s, "default", "a", "1")
			agree(t, s, 2)
			set(t, s, "default", "b", "2")
			if name == "snapshot and no state file" {
				check(t, s.node.Compact())
			}
			stop()
			check(t, prepare(s, dir))
			before := files(t, dir)
			_, err := Open(Config{Dir: dir, NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler), Protocol: protocol.First})
			if err := tooOld(err); err != nil || errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			for path, was := range before {
				if is := files(t, dir)[path]; is != was {
					t.Errorf("%s has changed", path)
				}
			}
			s, _ = start(t, dir)
			snap, err := s.Linearizable(testContext(t))
			if err != nil || value(snap, "default", "a") != "1" || value(snap, "default", "b") != "2" || snap.Agreed() != 2 {
				t.Error("the newer covey misses something")
			}
		})
	}
}

// old starts a server that speaks the first version only, whose end the test awaits.
func (c *cluster) old(t *testing.T, id string) (ended <-chan error) {
	t.Helper()
	transport, settings := c.plug(t, id)
	cfg := Config{Dir: c.dirs[id], Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)}
	settings(&cfg)
	older(&cfg)
	s, err := Open(cfg)
	check(t, err)
	c.mu.Lock()
	c.stores[id], c.transports[id] = s, transport
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return done
}

func awaitEnd(t *testing.T, c *cluster, id string, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err := tooOld(err); err != nil {
			t.Fatal(err)
		}
	case <-testContext(t).Done():
		t.Fatal("it goes on")
	}
	c.unplug(id)
}

// TestAnOlderServerStopsWhereItNoLongerUnderstands is one that was not known of when the others agreed.
func TestAnOlderServerStopsWhereItNoLongerUnderstands(t *testing.T) {
	c, stores, _ := newCluster(t, 1)
	ended := c.old(t, "n1")
	check(t, stores[0].AddMember(testContext(t), "n1", false))
	rev := set(t, stores[0], "default", "a", "before")
	check(t, c.get("n1").table.reach(testContext(t), rev))
	agree(t, stores[0], 2)
	awaitEnd(t, c, "n1", ended)

	// It is sent a snapshot, which it does not take either.
	for i := range 100 {
		rev = set(t, stores[0], "default", "a", fmt.Sprint(i))
	}
	check(t, stores[0].node.Compact())
	awaitEnd(t, c, "n1", c.old(t, "n1"))
	newer, _ := c.join(t, "n1")
	check(t, newer.table.reach(testContext(t), rev))
	if got := value(newer.Snapshot(), "default", "a"); got != "99" || newer.Snapshot().Agreed() != 2 {
		t.Errorf("with a newer covey it has %s", got)
	}
}

// TestAnEntryOfANewerFormatIsNotSkipped has one get into the log that no covey yet can have written.
func TestAnEntryOfANewerFormatIsNotSkipped(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(testContext(t)) }()
	rev := set(t, s, "default", "a", "1")
	fence, err := s.node.WaitLeads(testContext(t))
	check(t, err)
	p := s.node.Track(fence, appendChecksum([]byte{9, 'n', 'e', 'w'}))
	if _, err := s.node.Propose(testContext(t), &p.Proposal); err == nil {
		t.Error("it is applied")
	}
	if err := s.node.Compact(); err == nil {
		t.Error("the log is cut behind it")
	}
	var mismatch *protocol.Mismatch
	if err := <-ended; !errors.As(err, &mismatch) || mismatch.Version != 9 {
		t.Errorf("it ends with %v", err)
	}
	if s.Snapshot().Revision() != rev {
		t.Errorf("it is at %d, want %d", s.Snapshot().Revision(), rev)
	}
	_, err = Open(Config{Dir: dir, NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)})
	if !errors.As(err, &mismatch) || mismatch.Version != 9 || errors.Is(err, ErrDamaged) {
		t.Errorf("it is opened again with %v", err)
	}
}
