package identity

import (
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"
)

// newWorker is a worker of the cluster of server.
func newWorker(t *testing.T, server *Identity, c *clock) *Identity {
	t.Helper()
	dir := t.TempDir()
	csr, err := NewRequest(dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := server.IssueWorker("w1", csr, net.IPv4(192, 0, 2, 7))
	if err != nil {
		t.Fatal(err)
	}
	keys := server.Keys()
	if err := AdoptWorker(dir, keys.ForWorker(), cert); err != nil {
		t.Fatal(err)
	}
	id, err := Open(dir, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestWorkerIsKnownByItsCertificate(t *testing.T) {
	c := &clock{time.Now()}
	server := open(t, t.TempDir(), c)
	worker := newWorker(t, server, c)
	if worker.shared.Load().signer != nil {
		t.Error("the worker has the cluster's key")
	}
	cert, err := worker.NewServer("w1").current(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"192.0.2.7", "127.0.0.1", "w1"} {
		if err := cert.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if cert.Leaf.VerifyHostname("192.0.2.1") == nil {
		t.Error("the certificate is good for another machine")
	}
	node, err := server.NodeOf([]*x509.Certificate{cert.Leaf}, x509.ExtKeyUsageClientAuth)
	if want := (Node{ID: worker.NodeID(), Name: "w1", Role: RoleWorker}); err != nil || node != want {
		t.Errorf("%v %v, want %v", node, err, want)
	}
	// Servers and workers connect both ways, and a worker sees that it speaks with a server.
	for _, ends := range []struct{ serve, dial *Server }{
		{server.NewServer("n1"), worker.NewServer("w1")}, {worker.NewServer("w1"), server.NewServer("n1")},
	} {
		if _, err := handshake(t, ends.serve.TLSConfig("p"), ends.dial.DialConfig("", "p")); err != nil {
			t.Error(err)
		}
	}
}

// TestAWorkersCertificateIsNotGoodForTheAPIsNames, whatever the worker was called when it was let in.
func TestAWorkersCertificateIsNotGoodForTheAPIsNames(t *testing.T) {
	server := open(t, t.TempDir(), &clock{time.Now()})
	csr, err := server.Request()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"shop-1.example.com": true, "kubernetes-1": true, "localhost": true,
		"kubernetes": false, "kubernetes.default.svc": false, "kubernetes.default.svc.cluster.local": false, "*.example.com": false,
	} {
		issued, err := server.IssueWorker(name, csr, nil)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := decodeCert(issued)
		if err != nil {
			t.Fatal(err)
		}
		if got := cert.VerifyHostname(strings.Replace(name, "*", "api", 1)) == nil; got != want {
			t.Errorf("%s: the certificate is good for it: %v, want %v", name, got, want)
		}
	}
}

// TestACertificateWithoutAnAddressIsDue: clients could not ask the worker by its address when no server is there.
func TestACertificateWithoutAnAddressIsDue(t *testing.T) {
	c := &clock{time.Now()}
	server := open(t, t.TempDir(), c)
	worker := newWorker(t, server, c)
	csr, err := worker.Request()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []net.IP{nil, net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 7)} {
		cert, err := server.IssueWorker("w1", csr, address)
		if err != nil {
			t.Fatal(err)
		}
		if err := worker.Renew(cert); err != nil {
			t.Fatal(err)
		}
		if due := worker.RenewAt(); due.IsZero() != (address == nil) {
			t.Errorf("with the address %v it is to be renewed at %v", address, due)
		}
	}
}

func TestWorkerThatSleptComesBackByItsKey(t *testing.T) {
	c := &clock{time.Now()}
	server := open(t, t.TempDir(), c)
	worker := newWorker(t, server, c)
	before := worker.RenewAt()
	c.t = c.t.Add(3 * nodeLife)
	if _, err := handshake(t, server.NewServer("n1").TLSConfig("p"), worker.NewServer("w1").DialConfig("", "p")); err == nil {
		t.Fatal("an expired certificate is let in")
	}
	csr, err := worker.Request()
	if err != nil {
		t.Fatal(err)
	}
	if id, err := RequestID(csr); err != nil || id != worker.NodeID() {
		t.Fatalf("the request is of %s %v", id, err)
	}
	cert, err := server.IssueWorker("w1", csr, net.IPv4(192, 0, 2, 7))
	if err != nil {
		t.Fatal(err)
	}
	other := newWorker(t, server, c)
	if other.Renew(cert) == nil {
		t.Error("a worker takes another one's certificate")
	}
	if err := worker.Renew(cert); err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, server.NewServer("n1").TLSConfig("p"), worker.NewServer("w1").DialConfig("", "p")); err != nil {
		t.Error(err)
	}
	again, err := Open(worker.dir, c.now)
	if err != nil || !again.RenewAt().After(before) || !again.RenewAt().After(c.t) {
		t.Errorf("after a restart the certificate is to be renewed at %v %v", again.RenewAt(), err)
	}
}

func TestAnswersOfImpostorsAreRefused(t *testing.T) {
	c := &clock{time.Now()}
	worker := newWorker(t, open(t, t.TempDir(), c), c)
	foreign := open(t, t.TempDir(), c)
	if _, err := handshake(t, foreign.NewServer("n1").TLSConfig("p"), worker.NewServer("w1").DialConfig("", "p")); err == nil {
		t.Error("another cluster's server is taken for one of this")
	}
}
