package raft

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wires are connections between servers in one process, without latency, which may be cut.
type wires struct {
	mu     sync.Mutex
	nodes  map[string]*Node
	accept map[string]chan net.Conn
	cut    map[string]bool // the servers that nothing reaches
	mute   map[string]bool // those that make no connections any more
	sent   []message
}

// message is one of those that a server sent to another over a connection that it made itself.
type message struct {
	from, to string
	at       time.Time
}

func (w *wires) join(t *testing.T, id string, first bool) *Node {
	t.Helper()
	accepted := make(chan net.Conn)
	transport := NewTransport(id, listener{id, accepted, make(chan struct{})}, links{w, id}, slog.New(slog.DiscardHandler))
	n, err := Open(Config{
		Dir: t.TempDir(), ID: id, Transport: transport, Join: !first, Machine: idle{}, Logger: slog.New(slog.DiscardHandler), Wakes: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[id], w.accept[id] = n, accepted
	return n
}

// begin starts servers that all vote.
func begin(t *testing.T, ids ...string) *wires {
	t.Helper()
	w := &wires{nodes: map[string]*Node{}, accept: map[string]chan net.Conn{}, cut: map[string]bool{}, mute: map[string]bool{}}
	for i, id := range ids {
		n := w.join(t, id, i == 0)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- n.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	leader := w.nodes[ids[0]]
	if _, err := leader.WaitLeads(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids[1:] {
		if err := leader.Add(t.Context(), id, true); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// setCut cuts a server off, or ends that. What is under way is lost, and nobody is told.
func (w *wires) setCut(id string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[id] = cut
}

// setMute has a server answer only.
func (w *wires) setMute(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute[id] = true
}

func (w *wires) isMute(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mute[id]
}

func (w *wires) isCut(from, to string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[from] || w.cut[to]
}

// sentSince are the messages since then.
func (w *wires) sentSince(began time.Time) (sent []message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.sent {
		if !m.at.Before(began) {
			sent = append(sent, m)
		}
	}
	return sent
}

// leader waits until one of these servers leads, and returns it.
func (w *wires) leader(t *testing.T, ids ...string) string {
	t.Helper()
	for range 1000 {
		for _, id := range ids {
			if w.nodes[id].Leads() {
				return id
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("none of %v leads", ids)
	return ""
}

type links struct {
	*wires
	from string
}

func (l links) Dial(ctx context.Context, to string) (net.Conn, error) {
	if l.isMute(l.from) || l.isCut(l.from, to) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	l.mu.Lock()
	accept := l.accept[to]
	l.mu.Unlock()
	here, there := net.Pipe()
	select {
	case accept <- &lossy{Conn: there, wires: l.wires, from: to, to: l.from}:
		return &lossy{Conn: here, wires: l.wires, from: l.from, to: to, dialed: true}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lossy is silent for good when something was sent while one of its ends was cut off.
type lossy struct {
	net.Conn
	wires    *wires
	from, to string
	dialed   bool
	silent   atomic.Bool
}

func (c *lossy) Write(b []byte) (int, error) {
	if c.wires.isCut(c.from, c.to) {
		c.silent.Store(true)
	}
	if c.silent.Load() {
		return len(b), nil
	}
	if c.dialed {
		c.wires.mu.Lock()
		c.wires.sent = append(c.wires.sent, message{c.from, c.to, time.Now()})
		c.wires.mu.Unlock()
	}
	return c.Conn.Write(b)
}

type listener struct {
	id       string
	accepted chan net.Conn
	closed   chan struct{}
}

func (l listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error   { close(l.closed); return nil }
func (l listener) Addr() net.Addr { return idAddr(l.id) }

// idle is a machine that nothing is applied to.
type idle struct{}

func (idle) Check([]byte) error                         { return nil }
func (idle) Apply(entries []Entry) []error              { return make([]error, len(entries)) }
func (idle) Snapshot() func(io.Writer) error            { return func(io.Writer) error { return nil } }
func (idle) Restore(io.Reader) error                    { return nil }
func (idle) Objects() int                               { return 0 }
func (idle) Empty() []byte                              { return []byte{0} }
func (idle) Revision() uint64                           { return 0 }
func (idle) SnapshotRevision(io.Reader) (uint64, error) { return 0, errors.New("there is none") }
