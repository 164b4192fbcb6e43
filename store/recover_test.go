package store

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
	"k8s.io/client-go/kubernetes/scheme"
)

// TestRecoverGoesOnAlone loses two of three servers, and has the third go on with all that it had, from its log and from a snapshot.
func TestRecoverGoesOnAlone(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		_, stores, stop := newCluster(t, 3, quiet)
		first := set(t, stores[1], "default", "a", "1")
		survivor := stores[2]
		dir := filepath.Dir(survivor.lock.Name())
		if compacted {
			if err := survivor.table.reach(testContext(t), first); err != nil {
				t.Fatal(err)
			}
			if err := survivor.node.Compact(); err != nil {
				t.Fatal(err)
			}
		}
		rev := set(t, survivor, "default", "b", "2")
		for _, s := range stop {
			s()
		}
		got, err := Recover(Config{Dir: dir, NodeID: "n2", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)})
		if err != nil || got != rev {
			t.Fatalf("recovered to revision %d (%v), want %d", got, err, rev)
		}
		_, transport := hraft.NewInmemTransport("n2")
		alone, stopAlone := start(t, dir, func(cfg *Config) {
			cfg.NodeID, cfg.Transport, cfg.tuning.heartbeatTimeout = "n2", transport, 100*time.Millisecond
		})
		for _, known := range []uint64{rev, rev + 100} { // the lost servers may have given out the later one
			if _, err := alone.Watch(known); !errors.Is(err, ErrExpired) {
				t.Errorf("a watch from revision %d on, of before the recovery: %v, want to be told to begin anew (compacted: %v)", known, err, compacted)
			}
		}
		if next := set(t, alone, "default", "c", "3"); next <= rev+100 {
			t.Errorf("revision %d follows %d", next, rev)
		}
		for name, want := range map[string]string{"a": "1", "b": "2", "c": "3"} {
			if got := value(alone.Snapshot(), "default", name); got != want {
				t.Errorf("%s is %q, want %q (compacted: %v)", name, got, want, compacted)
			}
		}
		if members := alone.Members(); len(members) != 1 {
			t.Errorf("members: %v", members)
		}
		stopAlone()
		recoverAgain(t, dir)
	}
}

// recoverAgain recovers what was recovered, twice at once as when the first was cut off at its end.
func recoverAgain(t *testing.T, dir string) {
	t.Helper()
	for range 2 {
		if _, err := Recover(Config{Dir: dir, NodeID: "n2", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		_, transport := hraft.NewInmemTransport("n2")
		again, stop := start(t, dir, func(cfg *Config) {
			cfg.NodeID, cfg.Transport, cfg.tuning.heartbeatTimeout = "n2", transport, 100*time.Millisecond
		})
		before := again.Snapshot().Revision()
		if value(again.Snapshot(), "default", "c") != "3" || set(t, again, "default", "d", "4") <= before {
			t.Errorf("recovered again: c is %q, and a write comes not behind revision %d", value(again.Snapshot(), "default", "c"), before)
		}
		stop()
	}
}
