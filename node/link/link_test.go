package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"covey.dev/covey/node/clock"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/port"
)

const proto = identity.NodeProtocols + "test/1"

// machine is a node of a cluster, whose clock may be wrong.
type machine struct {
	id    *identity.Identity
	clock *clock.Clock
	links *Links
	port  *port.Port
}

// boot starts a node that greets whoever may connect with it; of is whose cluster it joins.
func boot(t *testing.T, of *machine, off time.Duration) *machine {
	t.Helper()
	dir := t.TempDir()
	began := time.Now()
	m := &machine{clock: clock.Open(filepath.Join(dir, "time"), func() time.Time { return time.Now().Add(off) },
		func() time.Duration { return time.Since(began) }, slog.New(slog.DiscardHandler))}
	if of != nil { // what a join does
		m.clock.Start(of.clock.Now())
		if err := identity.Adopt(dir, of.id.Keys()); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if m.id, err = identity.Open(dir, m.clock.Now); err != nil {
		t.Fatal(err)
	}
	m.id.IssueBy(m.clock.Latest)
	log := slog.New(slog.DiscardHandler)
	server := m.id.NewServer("n")
	m.links = New(server, book{}, log)
	if m.port, err = port.Listen("127.0.0.1:0", log); err != nil {
		t.Fatal(err)
	}
	l := m.links.ServerListener(m.port.Listener(proto))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.port.Run(ctx, server.TLSConfig(m.port.Protocols()...)) }()
	go greet(l)
	t.Cleanup(func() {
		stop()
		_ = l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}

func greet(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "hello")
		_ = conn.Close()
	}
}

// book knows no addresses: the tests name them.
type book struct{}

func (book) Locate(string) []string { return nil }
func (book) Reached(string, string) {}

// reaches returns why m cannot connect with other, or other does not let it in.
func (m *machine) reaches(other *machine) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := m.links.DialAt(ctx, []string{other.port.Addr().String()}, other.id.NodeID(), proto)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	greeting, err := io.ReadAll(conn)
	if err == nil && string(greeting) != "hello" {
		err = fmt.Errorf("no greeting but %q", greeting)
	}
	return err
}

const day = 24 * time.Hour

// TestWrongClocksKeepNobodyOut has one of two servers' clocks be wrong by more and more, in both directions, from before it joins.
func TestWrongClocksKeepNobodyOut(t *testing.T) {
	in1970 := time.Until(time.Unix(0, 0))
	for _, off := range []time.Duration{0, time.Hour, -time.Hour, 3 * day, -3 * day, 30 * day, -30 * day, 365 * day, -365 * day, 50 * 365 * day, in1970} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			a := boot(t, nil, 0)
			b := boot(t, a, off)
			for _, m := range []*machine{a, b} {
				m.id.SetKnown(func(id string) bool { return id == a.id.NodeID() || id == b.id.NodeID() })
			}
			if err := errors.Join(a.reaches(b), b.reaches(a)); err != nil {
				t.Error(err)
			}
			// The other way round: the new one is right, and the cluster is not.
			if err := b.reaches(boot(t, b, 0)); err != nil {
				t.Errorf("a server whose clock is right, before it is known: %v", err)
			}
		})
	}
}

// TestOldCertificateOfAStranger is refused by a node whose clock stands in 1970: it has seen a later time.
func TestOldCertificateOfAStranger(t *testing.T) {
	a := boot(t, nil, 0)
	late := boot(t, a, time.Until(time.Unix(0, 0)))
	stolen := boot(t, a, 0)
	stolen.id.IssueBy(func() time.Time { return time.Now().Add(-100 * day) }) // expired, and nobody knows its key
	for _, m := range []*machine{a, late} {
		if err := stolen.reaches(m); err == nil {
			t.Error("a certificate that has expired is good")
		}
		if err := m.reaches(stolen); err == nil {
			t.Error("a server whose certificate has expired is trusted")
		}
	}
}

// TestRecheckEndsConnectionsOfAnOldCA has a connection outlive the CA that its certificate is of.
func TestRecheckEndsConnectionsOfAnOldCA(t *testing.T) {
	a := boot(t, nil, 0)
	b := boot(t, a, 0)
	l := a.links.Listener(pipe{b.conns(t, a)})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	keys := a.id.Keys()
	for _, trusted := range []bool{true, false} {
		if trusted {
			keys, err = keys.RotateCA(time.Now(), 0)
		} else {
			keys, _, _ = keys.Settle(time.Now().Add(day), true)
		}
		if err == nil {
			_, err = a.id.Install(keys)
		}
		if err != nil {
			t.Fatal(err)
		}
		a.links.Recheck()
		if _, err := conn.Write([]byte("x")); (err == nil) != trusted {
			t.Errorf("while its CA is trusted: %v; a write returns %v", trusted, err)
		}
	}
}

// pipe yields one connection.
type pipe struct{ conn net.Conn }

func (p pipe) Accept() (net.Conn, error) { return p.conn, nil }
func (p pipe) Close() error              { return nil }
func (p pipe) Addr() net.Addr            { return p.conn.LocalAddr() }

// conns makes a connection from m to other and returns the other's end.
func (m *machine) conns(t *testing.T, other *machine) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		if conn, err := m.links.DialAt(context.Background(), []string{l.Addr().String()}, other.id.NodeID(), proto); err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Server(raw, other.id.NewServer("n").TLSConfig(proto))
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestWhoWasRemovedIsCutOff has a node be removed that is connected, in both directions.
func TestWhoWasRemovedIsCutOff(t *testing.T) {
	a := boot(t, nil, 0)
	b := boot(t, a, 0)
	hold := func(from, to *machine) net.Conn {
		t.Helper()
		conn, err := from.links.DialAt(t.Context(), []string{to.port.Addr().String()}, to.id.NodeID(), proto)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	out := hold(a, b)
	a.id.SetRemoved(func(nodeID string) bool { return nodeID == b.id.NodeID() })
	a.links.Recheck()
	_ = out.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadAll(out); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection with a node that was removed goes on: %v", err)
	}
	if err := b.reaches(a); err == nil {
		t.Error("a node that was removed is let in")
	}
	if err := a.reaches(b); !errors.Is(err, identity.ErrRemoved) {
		t.Errorf("a node that was removed is spoken with: %v", err)
	}
}
