package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/link"
	"covey.dev/covey/node/peer"
	"covey.dev/covey/node/port"
	"covey.dev/covey/node/remote"
	"covey.dev/covey/store"
)

var quiet = slog.New(slog.DiscardHandler)

// cluster is where servers and workers come from that trust each other.
type cluster struct {
	*testing.T
	ca *identity.Identity
}

func newCluster(t *testing.T) cluster {
	t.Helper()
	ca, err := identity.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return cluster{t, ca}
}

// joined is a worker's identity, in the data directory dir.
func (c cluster) joined(dir, name string) *identity.Identity {
	c.Helper()
	dir = filepath.Join(dir, "identity")
	csr, err := identity.NewRequest(dir)
	if err != nil {
		c.Fatal(err)
	}
	cert, err := c.ca.IssueWorker(name, csr, net.IPv4(127, 0, 0, 1))
	if err != nil {
		c.Fatal(err)
	}
	keys := c.ca.Keys()
	if err := identity.AdoptWorker(dir, keys.ForWorker(), cert); err != nil {
		c.Fatal(err)
	}
	return c.opened(filepath.Dir(dir))
}

func (c cluster) opened(dir string) *identity.Identity {
	c.Helper()
	id, err := identity.Open(filepath.Join(dir, "identity"), time.Now)
	if err != nil {
		c.Fatal(err)
	}
	return id
}

// served is a worker that has opened its checkpoint, greets nodes, and answers clients with 404, until stop is called.
func (c cluster) served(dir string, id *identity.Identity) (w *worker, stop func()) {
	c.Helper()
	w = &worker{base: &base{cfg: Config{DataDir: dir, Name: "w1", Worker: true}, log: quiet, identity: id, serverCert: id.NewServer("w1")}}
	w.links = link.New(w.serverCert, nowhere{}, quiet)
	p, err := port.Listen("127.0.0.1:0", quiet)
	if err == nil {
		w.port, err = p, errors.Join(w.openCheckpoint(), w.openClock(dir))
	}
	if err != nil {
		c.Fatal(err)
	}
	nodes, clients := w.links.Listener(p.Listener(peer.Protocol)), p.Listener("http/1.1")
	ctx, end := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.checkpoint.Run(ctx) })
	g.Go(func() error {
		return w.followRemovals(ctx, w.checkpoint, remote.RemovedTable, func() bool { return false })
	})
	g.Go(func() error { return serveClients(ctx, clients, w.good(http.NotFoundHandler()), quiet) })
	g.Go(func() error { return p.Run(ctx, w.serverCert.TLSConfig(p.Protocols()...)) })
	go func() {
		for {
			conn, err := nodes.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, greeting)
		}
	}()
	return w, func() {
		end()
		if err := errors.Join(g.Wait(), nodes.Close()); err != nil {
			c.Error(err)
		}
	}
}

const greeting = "hello"

// greeted connects as a node with a worker. It returns why that one does not greet it.
func (c cluster) greeted(id *identity.Identity, by *worker) (net.Conn, error) {
	c.Helper()
	links := link.New(id.NewServer("w2"), nowhere{}, quiet)
	conn, err := links.DialAt(c.Context(), []string{by.port.Addr().String()}, by.identity.NodeID(), peer.Protocol)
	if err != nil {
		return nil, err
	}
	c.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = io.ReadFull(conn, make([]byte, len(greeting)))
	return conn, err
}

// answered is the status that a worker answers a node with that comes as a client.
func (c cluster) answered(id *identity.Identity, by *worker) int {
	c.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: id.NewServer("w2").DialConfig("", "http/1.1"), DisableKeepAlives: true}}
	resp, err := client.Get("https://" + by.port.Addr().String() + "/")
	if err != nil {
		c.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestAWorkerRefusesNodesThatWereRemoved tells a worker of a removal, starts it again, and has the node be let in again.
func TestAWorkerRefusesNodesThatWereRemoved(t *testing.T) {
	c, dir := newCluster(t), t.TempDir()
	other := c.joined(t.TempDir(), "w2")
	w, stop := c.served(dir, c.joined(dir, "w1"))
	conn, err := c.greeted(other, w)
	if status := c.answered(other, w); err != nil || status != http.StatusNotFound {
		t.Fatalf("a node of the cluster is answered %d, and by nodes: %v", status, err)
	}
	st := runningStore(t)
	if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
		tx.Create(removedKey(other.NodeID()), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: other.NodeID()}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rec, _ := st.Snapshot().Get(removedKey(other.NodeID()))
	w.checkpoint.Apply(1, []store.Change{rec.Change()})
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("its connection goes on: %v", err)
	}
	for _, when := range []string{"removed", "removed before the worker's restart"} {
		_, err := c.greeted(other, w)
		if status := c.answered(other, w); err == nil || status != http.StatusUnauthorized {
			t.Errorf("a node that was %s is answered %d, and by nodes: %v", when, status, err)
		}
		stop()
		w, stop = c.served(dir, c.opened(dir))
	}
	defer stop()
	w.checkpoint.Apply(2, []store.Change{{Key: rec.Key()}})
	for deadline := time.Now().Add(30 * time.Second); c.answered(other, w) != http.StatusNotFound; {
		if time.Now().After(deadline) {
			t.Fatal("a node that joined again is not answered")
		}
	}
	if _, err := c.greeted(other, w); err != nil {
		t.Errorf("a node that joined again is not greeted: %v", err)
	}
}

// TestACertificateOfACAThatIsGoneIsDue, whatever the time.
func TestACertificateOfACAThatIsGoneIsDue(t *testing.T) {
	c := newCluster(t)
	id := c.joined(t.TempDir(), "worker")
	if left := time.Until(id.RenewAt()); left < 24*time.Hour {
		t.Errorf("a new certificate is due in %v", left)
	}
	keys := c.ca.Keys()
	keys, err := keys.RotateCA(time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	keys, _, _ = keys.Settle(time.Now().Add(time.Second), true)
	if _, err := id.Install(keys.ForWorker()); err != nil {
		t.Fatal(err)
	}
	if at := id.RenewAt(); !at.IsZero() {
		t.Errorf("it is due at %v", at)
	}
}
