package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/node/forward"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/join"
	"covey.dev/covey/node/link"
	"covey.dev/covey/node/port"
)

// granting is a cluster that lets everyone in, and notes where each worker is that it makes a certificate for.
type granting struct {
	join.Cluster
	to chan net.IP
}

func (granting) Admit(context.Context, string, string, join.Use) error { return nil }
func (granting) Agreed() int                                           { return 1 }
func (granting) Grant() (join.Grant, error)                            { return join.Grant{}, nil }
func (g granting) GrantWorker(_ string, _ []byte, address net.IP) (join.Grant, error) {
	g.to <- address
	return join.Grant{}, nil
}

// from is a connection as a worker says that it was made.
type from struct {
	net.Conn
	addr *net.TCPAddr
}

func (f from) LocalAddr() net.Addr  { return f.addr }
func (f from) RemoteAddr() net.Addr { return f.addr }

// TestAWorkerDoesNotSayWhereANodeIs has one pass connections on that it says to come from elsewhere.
func TestAWorkerDoesNotSayWhereANodeIs(t *testing.T) {
	c := newCluster(t)
	worker := c.joined(t.TempDir(), "w1")
	certs := c.ca.NewServer("n1")
	p, err := port.Listen("127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{base: &base{log: quiet, port: p, links: link.New(certs, nowhere{}, quiet)}}
	grants := granting{to: make(chan net.IP, 1)}
	passedOn, clients, keys := n.links.Listener(p.Listener(forward.Protocol)), p.Listener(clientProtocols...), p.Listener(identity.KeyProtocol)
	ctx, end := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx, certs.TLSConfig(p.Protocols()...)) })
	g.Go(func() error { return n.receive(ctx, passedOn) })
	g.Go(func() error { return serve(ctx, clients, join.Handler(grants, time.Now, quiet), quiet) })
	g.Go(func() error {
		if conn, err := keys.Accept(); err == nil {
			t.Error("a worker passes on what nodes speak")
			return conn.Close()
		}
		return nil
	})
	defer func() {
		end()
		if err := errors.Join(keys.Close(), g.Wait()); err != nil {
			t.Error(err)
		}
	}()

	links := link.New(worker.NewServer("w1"), nowhere{}, quiet)
	lying := func(ctx context.Context, cfg *tls.Config) (net.Conn, error) {
		out, err := links.DialAt(ctx, []string{p.Addr().String()}, "", forward.Protocol)
		if err != nil {
			return nil, err
		}
		client, passed := net.Pipe()
		g.Go(func() error {
			_ = forward.Send(ctx, from{passed, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 1}}, out)
			return nil
		})
		conn := tls.Client(client, cfg)
		return conn, conn.HandshakeContext(ctx)
	}
	conn, err := lying(ctx, worker.NewServer("w1").DialConfig("", identity.KeyProtocol))
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	if err == nil {
		t.Error("a worker passes on what nodes speak, and is answered")
	}

	csr, err := worker.Request()
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"name": "w1", "nodeID": worker.NodeID(), "csr": csr})
	if err != nil {
		t.Fatal(err)
	}
	trusting := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}} //nolint:gosec // who the server is does not matter here
	direct := func(ctx context.Context, cfg *tls.Config) (net.Conn, error) {
		return (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", p.Addr().String())
	}
	for _, way := range []struct {
		name string
		dial func(context.Context, *tls.Config) (net.Conn, error)
		want net.IP
	}{{"directly", direct, net.IPv4(127, 0, 0, 1)}, {"through a worker", lying, nil}} {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return way.dial(ctx, trusting)
		}}}
		resp, err := client.Post("https://server"+join.Path, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", way.name, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", way.name, resp.StatusCode)
		}
		if got := <-grants.to; !got.Equal(way.want) {
			t.Errorf("who joins %s gets a certificate for %v, want %v", way.name, got, way.want)
		}
	}
}
