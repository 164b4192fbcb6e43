package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/link"
	"covey.dev/covey/node/port"
)

const proto = "gossip"

// running is a node of the cluster that dir's identity belongs to.
type running struct {
	*Gossip
	id   *identity.Identity
	at   *places
	stop func()
}

// places are the addresses that a node says it has.
type places = atomic.Pointer[[]netip.Addr]

// book is a Gossip that is still to be made.
type book struct{ g **Gossip }

func (b book) Locate(nodeID string) []string  { return (*b.g).Locate(nodeID) }
func (b book) Reached(nodeID, address string) { (*b.g).Reached(nodeID, address) }

func run(t *testing.T, shared *identity.Identity, name, file string, seeds ...string) running {
	t.Helper()
	return runAt(t, shared, "127.0.0.1:0", nil, name, file, seeds...)
}

func runAt(t *testing.T, shared *identity.Identity, listen string, everyone []netip.Addr, name, file string, seeds ...string) running {
	t.Helper()
	dir := t.TempDir()
	if shared != nil {
		if err := identity.Adopt(dir, shared.Keys()); err != nil {
			t.Fatal(err)
		}
	}
	id, err := identity.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	p, packets := open(t, listen, log)
	server := id.NewServer(name)
	var g *Gossip
	links := link.New(server, book{&g}, log)
	at := &places{}
	at.Store(&[]netip.Addr{p.Addr().AddrPort().Addr()})
	g, err = New(Config{
		NodeID: id.NodeID(), Name: name, Version: "v1", Addresses: func() []netip.Addr { return *at.Load() }, Port: p.Addr().Port,
		Keys: keysOf(id, 1), File: file, Packets: packets, Streams: links.Listener(p.Listener(proto)),
		Dial: func(ctx context.Context, addresses []string, nodeID string) (net.Conn, error) {
			return links.DialAt(ctx, addresses, nodeID, proto)
		},
		NodeOf:   link.PeerOf,
		Everyone: func() []netip.Addr { return everyone },
		Log:      log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- p.Run(ctx, server.TLSConfig(p.Protocols()...)) }()
	go func() { done <- g.Run(ctx, seeds) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return running{g, id, at, stop}
}

// open opens the port for streams and for packets. One that is the kernel's to choose is free for streams, and may not be for packets.
func open(t *testing.T, listen string, log *slog.Logger) (*port.Port, *net.UDPConn) {
	t.Helper()
	const tries = 20
	for try := 1; ; try++ {
		p, err := port.Listen(listen, log)
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: p.Addr().IP, Port: p.Addr().Port})
		if err == nil {
			return p, packets
		}
		_ = p.Close()
		if try == tries || !strings.HasSuffix(listen, ":0") {
			t.Fatal(err)
		}
	}
}

func (m running) address() string {
	return m.Locate(m.id.NodeID())[0]
}

// sees waits until m knows of exactly these names.
func (m running) sees(t *testing.T, names ...string) {
	t.Helper()
	m.eventually(t, fmt.Sprint("exactly ", names), func() bool {
		for _, name := range names {
			if _, ok := m.Named(name); !ok {
				return false
			}
		}
		return len(m.Members()) == len(names)
	})
}

func (m running) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		changed := m.Changed()
		if is() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%+v, want %s", m.Members(), what)
		}
	}
}

func TestMembersFindEachOther(t *testing.T) {
	a := run(t, nil, "a", filepath.Join(t.TempDir(), "peers"))
	b := run(t, a.id, "b", filepath.Join(t.TempDir(), "peers"), a.address())
	c := run(t, a.id, "c", filepath.Join(t.TempDir(), "peers"), b.address())
	for _, m := range []running{a, b, c} {
		m.sees(t, "a", "b", "c")
	}
	a.eventually(t, "c as it is", func() bool {
		found, ok := a.Named("c")
		return ok && found.ID == c.id.NodeID() && found.Version == "v1" && found.Address() == c.address()
	})
	b.stop()
	a.sees(t, "a", "c")
	if _, ok := a.Named("b"); ok {
		t.Error("a takes b for alive")
	}
	if addresses := a.Locate(b.id.NodeID()); !slices.Equal(addresses, []string{b.address()}) {
		t.Errorf("a looks for b, which is lost, at %q", addresses)
	}
}

func TestRestartFindsTheOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers")
	a := run(t, nil, "a", filepath.Join(t.TempDir(), "peers"))
	b := run(t, a.id, "b", file, a.address())
	b.sees(t, "a", "b")
	for deadline := time.Now().Add(time.Minute); !slices.Equal(Remembered(file), []string{a.address()}); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the file has %q, want %s", Remembered(file), a.address())
		}
	}
	b.stop()
	run(t, a.id, "b", file).sees(t, "a", "b")
}

func TestAnotherClusterStaysOut(t *testing.T) {
	a := run(t, nil, "a", filepath.Join(t.TempDir(), "peers"))
	stranger := run(t, nil, "x", filepath.Join(t.TempDir(), "peers"))
	if n, err := stranger.list.Join([]string{a.address()}); n != 0 || err == nil {
		t.Errorf("another cluster's node joined %d (%v)", n, err)
	}
	a.sees(t, "a")
}

// TestMove has a node get other addresses: the others know them soon, and never take it for dead.
func TestMove(t *testing.T) {
	a := run(t, nil, "a", filepath.Join(t.TempDir(), "peers"))
	b := run(t, a.id, "b", filepath.Join(t.TempDir(), "peers"), a.address())
	c := run(t, a.id, "c", filepath.Join(t.TempDir(), "peers"), b.address())
	for _, m := range []running{a, b, c} {
		m.sees(t, "a", "b", "c")
	}
	// The second is where b still listens: a and c find that out.
	b.at.Store(&[]netip.Addr{netip.MustParseAddr("127.0.0.7"), netip.MustParseAddr("127.0.0.1")})
	port := netip.MustParseAddrPort(b.address()).Port()
	want := []string{fmt.Sprintf("127.0.0.7:%d", port), fmt.Sprintf("127.0.0.1:%d", port)}
	if err := b.Moved(); err != nil {
		t.Log(err) // on a busy machine the others hear of it later
	}
	for _, m := range []running{a, c} {
		m.eventually(t, fmt.Sprint("b at ", want), func() bool {
			found, ok := m.Named("b")
			if !ok {
				t.Fatal("b is taken for dead")
			}
			return slices.Equal(found.Addresses, want)
		})
		conn, err := m.cfg.Dial(t.Context(), m.Locate(b.id.NodeID()), b.id.NodeID())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if got := m.Locate(b.id.NodeID()); got[0] != want[1] {
			t.Errorf("b is looked for at %v, where it answers at the last", got)
		}
	}
}
