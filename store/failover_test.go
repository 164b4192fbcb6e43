package store

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"
)

// machines are servers that reach each other over TCP, by their IDs.
type machines struct {
	*cluster
	mu        sync.Mutex
	listeners map[string]net.Listener
}

// Dial implements raft.Links.
func (m *machines) Dial(ctx context.Context, id string) (net.Conn, error) {
	m.mu.Lock()
	address := m.listeners[id].Addr().String()
	m.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

func (m *machines) start(t *testing.T, id string) (s *Store, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	first := len(m.listeners) == 0
	m.listeners[id] = l
	m.mu.Unlock()
	s, stop = start(t, t.TempDir(), func(cfg *Config) {
		cfg.NodeID, cfg.Join, cfg.Peers = id, !first, caller{m.cluster, id}
		cfg.Transport = NewTransport(id, l, m, slog.New(slog.DiscardHandler))
		quiet(cfg)
	})
	m.cluster.mu.Lock()
	m.stores[id] = s
	m.cluster.mu.Unlock()
	return s, stop
}

// overdue is when a heartbeat is, here: late, so that a busy machine is not taken for it.
const overdue = 20 * time.Second

// quiet has no lease of a leader run out, and nobody else stand for election.
func quiet(cfg *Config) { cfg.tuning.heartbeatTimeout = overdue }

// TestALeaderWhoseProcessIsGoneIsReplacedAtOnce does not wait for a heartbeat that is overdue.
func TestALeaderWhoseProcessIsGoneIsReplacedAtOnce(t *testing.T) {
	m := &machines{cluster: &cluster{wires: &wires{}, stores: map[string]*Store{}}, listeners: map[string]net.Listener{}}
	leader, stop := m.start(t, "n0")
	set(t, leader, "default", "a", "before")
	for i := range 4 {
		id := fmt.Sprint("n", i+1)
		m.start(t, id)
		if err := leader.AddMember(testContext(t), id, true); err != nil {
			t.Fatal(err)
		}
	}
	survivor := m.stores["n4"]
	set(t, survivor, "default", "a", "meanwhile")
	stop()
	began := time.Now()
	set(t, survivor, "default", "a", "after")
	if took := time.Since(began); took > overdue {
		t.Errorf("the next write was accepted after %v", took)
	} else {
		t.Logf("the next write was accepted after %v", took)
	}
}
