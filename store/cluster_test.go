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

// cluster is some servers in one process: Raft over memory, questions to the leader by a call, both over wires.
type cluster struct {
	wires  *wires
	change []func(*Config)
	large  bool // settings are those of the product, and Raft sends entries before the last ones are answered
	// answered is called, if it is not nil, when a leader has answered to a proposal and before its answer is on the way.
	answered func(*Proposal)

	mu         sync.Mutex
	dirs       map[string]string
	stores     map[string]*Store
	transports map[string]*hraft.InmemTransport
}

// join starts a server and connects it with all others; the first one begins the cluster. A server that was stopped may be
// started again so.
func (c *cluster) join(t testing.TB, id string) (s *Store, stop func()) {
	t.Helper()
	transport, settings := c.plug(t, id)
	s, stopStore := start(t, c.dirs[id], settings)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stores[id], c.transports[id] = s, transport
	return s, sync.OnceFunc(func() {
		c.unplug(id)
		stopStore()
	})
}

// plug connects a server with all others that run.
func (c *cluster) plug(t testing.TB, id string) (*hraft.InmemTransport, func(*Config)) {
	_, transport := hraft.NewInmemTransport(hraft.ServerAddress(id))
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, theirs := range c.transports {
		transport.Connect(hraft.ServerAddress(other), theirs)
		theirs.Connect(hraft.ServerAddress(id), transport)
	}
	first := len(c.dirs) == 0
	if c.dirs[id] == "" {
		c.dirs[id] = t.TempDir()
	}
	return transport, func(cfg *Config) {
		cfg.NodeID, cfg.Transport, cfg.Join, cfg.Peers = id, faulty{transport, c.wires}, !first, caller{c, id}
		if c.large {
			cfg.Transport = transport
			return
		}
		cfg.tuning.heartbeatTimeout = time.Second // the disk is a real one, which others may be using
		cfg.tuning.snapshotThreshold, cfg.tuning.segmentSize = 64, 8<<10
		for _, change := range c.change {
			change(cfg)
		}
	}
}

func (c *cluster) unplug(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stores, id)
	delete(c.transports, id)
	for _, theirs := range c.transports {
		theirs.Disconnect(hraft.ServerAddress(id))
	}
}

// get returns nil for a server that does not run.
func (c *cluster) get(id string) *Store {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stores[id]
}

func newCluster(t testing.TB, servers int, change ...func(*Config)) (c *cluster, stores []*Store, stop []func()) {
	t.Helper()
	c = &cluster{
		wires: &wires{}, change: change,
		dirs: map[string]string{}, stores: map[string]*Store{}, transports: map[string]*hraft.InmemTransport{},
	}
	stores, stop = c.begin(t, servers)
	return c, stores, stop
}

// isolate has nothing pass between a server and the others.
func (c *cluster) isolate(id string) {
	var links [][2]string
	for _, other := range []string{"n0", "n1", "n2", "n3"} {
		links = append(links, [2]string{id, other}, [2]string{other, id})
	}
	c.wires.fail(0, 0, links...)
}

// begin starts servers, all of which vote.
func (c *cluster) begin(t testing.TB, servers int) (stores []*Store, stop []func()) {
	t.Helper()
	for i := range servers {
		s, end := c.join(t, fmt.Sprintf("n%d", i))
		stores, stop = append(stores, s), append(stop, end)
	}
	if _, err := stores[0].Linearizable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < servers; i++ {
		reconfigure(t, stores[:i], func(ctx context.Context, leader *Store) error {
			return leader.AddMember(ctx, fmt.Sprintf("n%d", i), true)
		})
	}
	return stores, stop
}

// reconfigure has the leader change who is a member, again where that one loses its leadership, because the machine is busy.
func reconfigure(t testing.TB, stores []*Store, change func(ctx context.Context, leader *Store) error) {
	t.Helper()
	for {
		err := change(testContext(t), stores[leaderOf(t, stores)])
		if err == nil {
			return
		}
		if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
	}
}

func TestEveryServerReadsAndWrites(t *testing.T) {
	_, stores, _ := newCluster(t, 3, quiet)
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
	_, stores, _ := newCluster(t, 3, quiet)
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
	n := 0 // also where there is none yet
	_, _ = fmt.Sscan(value(tx.Snapshot(), "default", "counter"), &n)
	tx.Set(mapKey("default", "counter"), configMap("default", "counter", fmt.Sprint(n+1)))
	return nil
}

func TestSurvivorsGoOnWithoutTheLeader(t *testing.T) {
	_, stores, stop := newCluster(t, 3)
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

// leaderOf returns the number of the server that leads.
func leaderOf(t testing.TB, stores []*Store) int {
	t.Helper()
	ctx := testContext(t)
	for {
		for i, s := range stores {
			if s.IsLeader() {
				return i
			}
		}
		if !pause(ctx) {
			t.Fatal("nobody leads")
		}
	}
}

// TestALostAnswerIsFoundInTheLog loses the answer of the leader to a write on another server, once with the leader and once without.
func TestALostAnswerIsFoundInTheLog(t *testing.T) {
	for _, dies := range []bool{false, true} {
		t.Run(fmt.Sprint("leader dies=", dies), func(t *testing.T) {
			c, stores, stop := newCluster(t, 3)
			leader := leaderOf(t, stores)
			asked := 0
			c.answered = func(*Proposal) {
				if asked++; asked > 1 {
					return
				}
				if dies {
					stop[leader]()
				}
				c.wires.fail(1, 0)
				time.AfterFunc(2*lostAfter, func() { c.wires.fail(0, 0) })
			}
			writer := stores[(leader+1)%3]
			rev, err := writer.Update(testContext(t), func(tx *Tx) error {
				tx.Create(mapKey("default", "a"), configMap("default", "a", "1")) // a second time it would be a conflict
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			snap, err := stores[(leader+2)%3].Linearizable(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if rec, ok := snap.Get(mapKey("default", "a")); !ok || rec.Revision() != rev {
				t.Errorf("%v at %d, want it as of %d", rec, snap.Revision(), rev)
			}
		})
	}
}

// TestALateProposalIsRefused has a proposal arrive after its sender was told that it never would.
func TestALateProposalIsRefused(t *testing.T) {
	c, stores, _ := newCluster(t, 3, quiet)
	leader := leaderOf(t, stores)
	fence, err := stores[leader].node.WaitLeads(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	tx := &Tx{codec: stores[0].codec}
	tx.Create(mapKey("default", "late"), configMap("default", "late", "1"))
	writer := stores[(leader+1)%3]
	p := writer.node.Track(fence, encodeEntry(tx.effects, entryFormat1))
	to := caller{c, "n0"}
	if err := to.CloseFence(testContext(t), stores[leader].LeaderID(), fence); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.fate(testContext(t), p); !errors.Is(storeError(err), ErrNotLeader) {
		t.Errorf("its fate is %v", err)
	}
	if _, err := to.Propose(testContext(t), stores[leader].LeaderID(), &p.Proposal); !errors.Is(err, ErrNotLeader) {
		t.Errorf("it ends with %v", err)
	}
	if _, err := stores[leader].Update(testContext(t), increment); err != nil {
		t.Errorf("a new write after that: %v", err)
	}
}

// TestAWatchOnAServerThatWasAwayExpires cuts a server off until it has to be sent a snapshot: its watch says that it has lost events.
func TestAWatchOnAServerThatWasAwayExpires(t *testing.T) {
	c, stores, _ := newCluster(t, 3)
	leader := leaderOf(t, stores)
	away := (leader + 1) % 3
	rev := set(t, stores[leader], "default", "a", "before")
	if err := stores[away].table.reach(testContext(t), rev); err != nil {
		t.Fatal(err)
	}
	w, err := stores[away].Watch(rev)
	if err != nil {
		t.Fatal(err)
	}
	cut := fmt.Sprint("n", away)
	var links [][2]string
	for i := range stores {
		links = append(links, [2]string{cut, fmt.Sprint("n", i)}, [2]string{fmt.Sprint("n", i), cut})
	}
	c.wires.fail(0, 0, links...)
	var last uint64
	for i := range 100 {
		last = set(t, stores[leader], "default", "a", fmt.Sprint(i))
	}
	for _, there := range []*Store{stores[leader], stores[(leader+2)%3]} { // either may lead by now
		if err := there.table.reach(testContext(t), last); err != nil {
			t.Fatal(err)
		}
		if err := there.node.Compact(); err != nil {
			t.Fatal(err)
		}
	}
	c.wires.fail(0, 0)
	if events, err := w.Next(testContext(t)); !errors.Is(err, ErrExpired) {
		t.Errorf("%d events, %v", len(events), err)
	}
	if err := stores[away].table.reach(testContext(t), last); err != nil {
		t.Fatal(err)
	}
	if w, err = stores[away].Watch(last); err != nil {
		t.Fatal(err)
	}
	next := set(t, stores[away], "default", "a", "after")
	events, err := w.Next(testContext(t))
	if err != nil || len(events) != 1 || events[0].Revision != next {
		t.Errorf("after that: %v, %v", events, err)
	}
}

// TestWhatEndsWithoutAnAnswerSaysSo cuts the leader off, under a write and before one.
func TestWhatEndsWithoutAnAnswerSaysSo(t *testing.T) {
	c, stores, _ := newCluster(t, 3)
	leader := stores[c.cutOffWriting(t, stores, increment)]
	for patient := testContext(t); leader.IsLeader(); { // until its lease ends
		if !pause(patient) {
			t.Fatal("it goes on to lead")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := leader.Update(ctx, increment); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnknown) {
		t.Errorf("a write of a server that knows that it is alone ends with %v", err)
	}
	c.wires.fail(0, 0)
	snap, err := leader.Linearizable(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(snap, "default", "counter"); got != "(none)" && got != "1" {
		t.Errorf("the counter is at %s", got)
	}
}
