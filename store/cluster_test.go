package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
)

// cluster is some servers in one process: Raft over memory, questions to the leader by a call. It is the Peers of each.
type cluster struct {
	mu         sync.Mutex
	stores     map[string]*Store
	transports map[string]*hraft.InmemTransport
}

// join starts a server and connects it with all others; the first one begins the cluster.
func (c *cluster) join(t *testing.T, id string) (s *Store, stop func()) {
	t.Helper()
	_, transport := hraft.NewInmemTransport(hraft.ServerAddress(id))
	c.mu.Lock()
	for other, theirs := range c.transports {
		transport.Connect(hraft.ServerAddress(other), theirs)
		theirs.Connect(hraft.ServerAddress(id), transport)
	}
	first := len(c.stores) == 0
	c.mu.Unlock()
	s, stopStore := start(t, t.TempDir(), func(cfg *Config) {
		cfg.NodeID, cfg.Transport, cfg.Join, cfg.Peers = id, transport, !first, c
		cfg.tuning.heartbeatTimeout = 100 * time.Millisecond
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stores[id], c.transports[id] = s, transport
	return s, func() {
		c.mu.Lock()
		delete(c.stores, id)
		for _, theirs := range c.transports {
			theirs.Disconnect(hraft.ServerAddress(id))
		}
		c.mu.Unlock()
		stopStore()
	}
}

func (c *cluster) get(id string) (*Store, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.stores[id]; s != nil {
		return s, nil
	}
	return nil, ErrNotLeader
}

func (c *cluster) Propose(ctx context.Context, server string, entry []byte) (uint64, error) {
	s, err := c.get(server)
	if err != nil {
		return 0, err
	}
	return s.ServePropose(ctx, entry)
}

func (c *cluster) ReadRevision(ctx context.Context, server string) (uint64, error) {
	s, err := c.get(server)
	if err != nil {
		return 0, err
	}
	return s.ServeReadRevision(ctx)
}

func three(t *testing.T) (c *cluster, stores []*Store, stop []func()) {
	t.Helper()
	c = &cluster{stores: map[string]*Store{}, transports: map[string]*hraft.InmemTransport{}}
	for i := range 3 {
		s, end := c.join(t, fmt.Sprintf("n%d", i))
		stores, stop = append(stores, s), append(stop, end)
	}
	if _, err := stores[0].Linearizable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"n1", "n2"} {
		if err := stores[0].AddMember(testContext(t), id, true); err != nil {
			t.Fatal(err)
		}
	}
	return c, stores, stop
}

func TestEveryServerReadsAndWrites(t *testing.T) {
	_, stores, _ := three(t)
	for i := range 30 {
		text := fmt.Sprint(i)
		rev := set(t, stores[i%3], "default", "a", text)
		reader := stores[(i+1)%3]
		snap, err := reader.Linearizable(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if snap.Revision() < rev || value(snap, "default", "a") != text {
			t.Fatalf("server %d reads %q at %d after server %d wrote %q at %d",
				(i+1)%3, value(snap, "default", "a"), snap.Revision(), i%3, text, rev)
		}
	}
}

func TestConflictsOnOtherServers(t *testing.T) {
	_, stores, _ := three(t)
	rev := set(t, stores[1], "default", "a", "1")
	set(t, stores[2], "default", "a", "2")
	_, err := stores[1].Update(testContext(t), func(tx *Tx) error {
		tx.Put(mapKey("default", "a"), configMap("default", "a", "3"), rev)
		return nil
	})
	if !errors.Is(err, ErrConflict) {
		t.Errorf("a write over a newer one ended with %v", err)
	}
	var writers sync.WaitGroup
	for _, s := range stores {
		writers.Go(func() {
			for range 10 {
				if _, err := s.Update(testContext(t), increment); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	snap, err := stores[2].Linearizable(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(snap, "default", "counter"); got != "30" {
		t.Errorf("30 increments made %s", got)
	}
}

func increment(tx *Tx) error {
	k, n := mapKey("default", "counter"), 0
	rec, ok := tx.Get(k)
	if ok {
		_, _ = fmt.Sscan(value(tx.Snapshot(), "default", "counter"), &n)
		tx.Put(k, configMap("default", "counter", fmt.Sprint(n+1)), rec.Revision())
	} else {
		tx.Create(k, configMap("default", "counter", "1"))
	}
	return nil
}

func TestSurvivorsGoOnWithoutTheLeader(t *testing.T) {
	_, stores, stop := three(t)
	set(t, stores[1], "default", "a", "before")
	leader := 0
	for i, s := range stores {
		if s.IsLeader() {
			leader = i
		}
	}
	stop[leader]()
	survivor := stores[(leader+1)%3]
	set(t, survivor, "default", "a", "after")
	snap, err := stores[(leader+2)%3].Linearizable(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(snap, "default", "a"); got != "after" {
		t.Errorf("the other survivor reads %q", got)
	}
}
