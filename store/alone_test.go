package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
	"k8s.io/client-go/kubernetes/scheme"
)

// image is a server's directory as a crash at this moment leaves it, without the named files.
func image(t *testing.T, s *Store, without ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Dir(s.lock.Name()))); err != nil {
		t.Fatal(err)
	}
	for _, file := range without {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// alone starts a server that reaches no other.
func alone(t *testing.T, dir, id string) (s *Store, stop func()) {
	t.Helper()
	_, transport := hraft.NewInmemTransport(hraft.ServerAddress(id))
	return start(t, dir, func(cfg *Config) { cfg.NodeID, cfg.Transport, cfg.Join = id, transport, true })
}

// cutOff cuts the lines between a server and the others.
func (c *cluster) cutOff(id string, stores []*Store) {
	var links [][2]string
	for _, s := range stores {
		links = append(links, [2]string{id, s.id}, [2]string{s.id, id})
	}
	c.wires.fail(0, 0, links...)
}

// cutOffWriting cuts the leader off so that it takes a write which nobody confirms, and returns which server that was. One that has seen that it is
// alone takes none: then it is tried once more.
func (c *cluster) cutOffWriting(t *testing.T, stores []*Store, write func(*Tx) error) (was int) {
	t.Helper()
	for range 20 {
		was = leaderOf(t, stores)
		c.cutOff(stores[was].id, stores)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := stores[was].Update(ctx, write)
		cancel()
		switch {
		case !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("a write that nobody confirms ends with %v", err)
		case errors.Is(err, ErrUnknown):
			return was
		}
		c.wires.fail(0, 0)
	}
	t.Fatal("no leader that is cut off takes a write")
	return was
}

// TestAServerThatStartsAloneShowsWhatWasCommitted crashes servers of three and starts each without the others, with all its files and without
// some: the note is what a power cut may take back, the state file is a copy of the log.
func TestAServerThatStartsAloneShowsWhatWasCommitted(t *testing.T) {
	_, stores, _ := newCluster(t, 3, quiet)
	for i := range 100 {
		set(t, stores[i%3], "default", "a", fmt.Sprint(i))
		if i%45 == 44 { // over snapshots, too; so often that Raft makes none by itself while an image is taken
			for _, s := range stores {
				if err := s.node.Compact(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	set(t, stores[0], "default", "b", "last but one")
	for _, s := range stores { // what is written next says of this that it is committed where that is known by then
		shows(t, s, []string{"state.db"}, map[string]string{"b": "last but one"})
	}
	last := set(t, stores[1], "default", "c", "last")
	for _, s := range stores {
		if err := s.table.reach(testContext(t), last); err != nil {
			t.Fatal(err)
		}
		for _, without := range [][]string{nil, {"state.db"}, {"committed"}, {"state.db", "committed"}} {
			want := map[string]string{"a": "99", "b": "last but one", "c": "last"}
			if len(without) > 0 && without[len(without)-1] == "committed" {
				delete(want, "c") // which nothing was written behind
			}
			shows(t, s, without, want)
		}
	}
}

// shows waits until a server that crashes then would show what is wanted. What is applied is noted a moment later.
func shows(t *testing.T, s *Store, without []string, want map[string]string) {
	t.Helper()
	ctx := testContext(t)
	for {
		dir := image(t, s, without...)
		lonely, stop := alone(t, dir, s.id)
		got := lonely.Snapshot() // before anything could have been elected
		stop()
		wrong := ""
		for name, text := range want {
			if shown := value(got, "default", name); shown != text {
				wrong += fmt.Sprintf(" %s is %q, not %q;", name, shown, text)
			}
		}
		if wrong == "" {
			return
		}
		if !pause(ctx) {
			t.Fatalf("%s without %v shows:%s", s.id, without, wrong)
		}
	}
}

// inLog says whether the log of a server has an object that may not be committed.
func inLog(t *testing.T, s *Store, name string) bool {
	t.Helper()
	all := image(t, s)
	if _, err := Recover(Config{Dir: all, NodeID: s.id, Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	recovered, stop := alone(t, all, s.id)
	defer stop()
	return value(recovered.Snapshot(), "default", name) != "(none)"
}

// TestAServerThatStartsAloneDoesNotShowWhatWasNot writes to the log of a leader that is cut off, which the others then replace, and has it
// come back: what it could not commit is never shown, and what takes its place is.
func TestAServerThatStartsAloneDoesNotShowWhatWasNot(t *testing.T) {
	c, stores, stop := newCluster(t, 3)
	rev := set(t, stores[0], "default", "a", "committed")
	for _, s := range stores {
		if err := s.table.reach(testContext(t), rev); err != nil {
			t.Fatal(err)
		}
	}
	was := c.cutOffWriting(t, stores, func(tx *Tx) error {
		tx.Create(mapKey("default", "lost"), configMap("default", "lost", "1"))
		return nil
	})
	ctx := testContext(t)
	for !inLog(t, stores[was], "lost") {
		if !pause(ctx) {
			t.Fatal("it does not get into the log")
		}
	}
	shows(t, stores[was], nil, map[string]string{"a": "committed", "lost": "(none)"})

	next := set(t, stores[(was+1)%3], "default", "a", "without it")
	c.wires.fail(0, 0)
	if err := stores[was].table.reach(testContext(t), next); err != nil {
		t.Fatal(err)
	}
	shows(t, stores[was], nil, map[string]string{"a": "without it", "lost": "(none)"})
	stop[was]()
	again, _ := c.join(t, stores[was].id)
	if got := value(again.Snapshot(), "default", "a"); got != "without it" {
		t.Errorf("after an orderly end it shows %q", got)
	}
	set(t, again, "default", "a", "with it")
}
