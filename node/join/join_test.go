package join

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/store/protocol"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// cluster has one token and one node, called first.
type cluster struct {
	id     *identity.Identity
	secret *corev1.Secret
	noted  []Admission
	clock  atomic.Int64 // nanoseconds since now
	agreed int
}

func (c *cluster) Agreed() int { return c.agreed }

func (c *cluster) Admit(_ context.Context, namespace, name string, use Use) error {
	var old *corev1.Secret
	if namespace == "kube-system" && name == "bootstrap-token-abcdef" {
		old = c.secret
	}
	secret, a, err := use(old, c.noted)
	if err == nil {
		c.secret, c.noted = secret, append(c.noted, a)
	}
	return err
}

func (c *cluster) CheckName(name, nodeID string, worker bool) error {
	if name == "first" && nodeID != "1" || name == "server" && worker {
		return fmt.Errorf("another node is called %q", name)
	}
	return nil
}

func (c *cluster) Grant() (Grant, error) {
	return Grant{Keys: c.id.Keys(), Seeds: []string{"192.0.2.1:7443"}}, nil
}

func (c *cluster) GrantWorker(name string, csr []byte, address net.IP) (Grant, error) {
	cert, err := c.id.IssueWorker(name, csr, address)
	keys := c.id.Keys()
	return Grant{Keys: keys.ForWorker(), Certificate: cert}, err
}

// serve runs a cluster with a token of these further data.
func serve(t *testing.T, data map[string]string) (c *cluster, address string, token Token) {
	t.Helper()
	id, err := identity.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	token = Token{ID: "abcdef", Secret: "0123456789abcdef", CA: id.CAFingerprint()}
	c = &cluster{id: id, agreed: 1, secret: &corev1.Secret{Type: SecretType, Data: map[string][]byte{"token-secret": []byte(token.Secret)}}}
	for key, value := range data {
		c.secret.Data[key] = []byte(value)
	}
	mux := http.NewServeMux()
	mux.Handle(Path, Handler(c, func() time.Time { return now.Add(time.Duration(c.clock.Load())) }, slog.New(slog.DiscardHandler)))
	s := httptest.NewUnstartedServer(mux)
	s.Listener = tls.NewListener(s.Listener, id.NewServer("first", "127.0.0.1").TLSConfig("http/1.1"))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return c, s.Listener.Addr().String(), token
}

func join(t *testing.T, address string, token Token, change ...func(*Request)) (Grant, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r := Request{Servers: []string{address}, Token: token, NodeID: "2", Name: "second", Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&r)
	}
	return Ask(ctx, r)
}

func TestJoinHandsOverTheCluster(t *testing.T) {
	c, address, token := serve(t, nil)
	grant, err := join(t, address, token)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := identity.Adopt(dir, grant.Keys); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if !id.Joined() || id.CAFingerprint() != c.id.CAFingerprint() || string(id.Keys().Gossip[0].Key) != string(c.id.Keys().Gossip[0].Key) {
		t.Error("the new node does not have what the cluster has")
	}
	if id.NodeID() == c.id.NodeID() {
		t.Error("the new node has the key of the old one")
	}
	if len(grant.Seeds) != 1 || c.secret == nil {
		t.Errorf("seeds %v, token %v", grant.Seeds, c.secret)
	}
}

func TestJoinIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		data   map[string]string
		change func(*Request)
		want   string
	}{
		{"unknown token", nil, func(r *Request) { r.Token.ID = "zzzzzz" }, "the token zzzzzz.… is unknown"},
		{"wrong secret", nil, func(r *Request) { r.Token.Secret = "fedcba9876543210" }, "the token abcdef.… is unknown"},
		{"expired", map[string]string{"expiration": "2026-03-01T12:00:00Z"}, nil, "expired at 2026-03-01T12:00:00Z"},
		{"used up", map[string]string{"uses": "0"}, nil, "number of uses"},
		{"another cluster", nil, func(r *Request) { r.Token.CA = strings.Repeat("0", 64) }, "belongs to another cluster"},
		{"a name that is taken", nil, func(r *Request) { r.Name = "first" }, `another node is called "first"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, address, token := serve(t, test.data)
			change := test.change
			if change == nil {
				change = func(*Request) {}
			}
			if _, err := join(t, address, token, change); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestTokenIsUsedUp(t *testing.T) {
	c, address, token := serve(t, map[string]string{"uses": "2"})
	for range 2 {
		if _, err := join(t, address, token); err != nil {
			t.Fatal(err)
		}
	}
	if c.secret != nil {
		t.Errorf("the token is still there: %v", c.secret)
	}
	if _, err := join(t, address, token); err == nil {
		t.Error("a third node was let in")
	}
}

// newNode is a request of a node with a key of its own, called second.
func newNode(t *testing.T) func(*Request) {
	t.Helper()
	csr, err := identity.NewRequest(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	nodeID, err := identity.RequestID(csr)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *Request) { r.CSR, r.NodeID = csr, nodeID }
}

// TestALostAnswerCostsNoSecondUse has a node come again that was let in, and others who say that they are it.
func TestALostAnswerCostsNoSecondUse(t *testing.T) {
	c, address, token := serve(t, map[string]string{"uses": "1"})
	second := newNode(t)
	for range 2 {
		if _, err := join(t, address, token, second); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*Request){
		"another node":               newNode(t),
		"a node without its key":     func(r *Request) { second(r); r.CSR = nil },
		"a node with another's key":  func(r *Request) { newNode(t)(r); id := r.NodeID; second(r); r.NodeID = id },
		"one with another token":     func(r *Request) { second(r); r.Token.ID = "zzzzzz" },
		"one that is a worker since": func(r *Request) { second(r); r.Worker = true },
		"one that is renamed":        func(r *Request) { second(r); r.Name = "third" },
	} {
		if _, err := join(t, address, token, change); err == nil || !strings.Contains(err.Error(), "is unknown") && !strings.Contains(err.Error(), "proven") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.clock.Store(int64(AdmissionLife) - 1)
	if _, err := join(t, address, token, second); err != nil {
		t.Errorf("within the hour: %v", err)
	}
	c.clock.Store(int64(AdmissionLife)) // since the first time
	if _, err := join(t, address, token, second); err == nil || !strings.Contains(err.Error(), "is unknown") {
		t.Errorf("after an hour: %v", err)
	}
}

// TestTwoNodesOfOneNameAtOnce are machines with the same image: the second waits until the first has started or is given up.
func TestTwoNodesOfOneNameAtOnce(t *testing.T) {
	c, address, token := serve(t, map[string]string{"uses": "2"})
	if _, err := join(t, address, token, newNode(t)); err != nil {
		t.Fatal(err)
	}
	other := Request{Token: token, Name: "second", Log: slog.New(slog.DiscardHandler)}
	newNode(t)(&other)
	if _, err := ask(t.Context(), other, address); err == nil || errors.As(err, new(refusal)) || !strings.Contains(err.Error(), `another node joins as "second" just now`) {
		t.Errorf("error %v, want one that says to wait", err)
	}
	c.clock.Store(int64(nameLife))
	if _, err := ask(t.Context(), other, address); err != nil {
		t.Errorf("after a minute: %v", err)
	}
}

// TestNodesOfOtherVersionsAreRefused, which costs the token no use.
func TestNodesOfOtherVersionsAreRefused(t *testing.T) {
	c, address, token := serve(t, map[string]string{"uses": "1"})
	c.agreed = 3
	for spoken, want := range map[protocol.Range]string{
		{}:                     "too old for its cluster: it speaks protocol version 1, and the cluster has agreed on 3. Run a newer covey",
		{Oldest: 1, Newest: 2}: "too old for its cluster: it speaks protocol version 1-2, and the cluster has agreed on 3. Run a newer covey",
		{Oldest: 4, Newest: 5}: "too new for its cluster: it speaks protocol version 4-5, and the cluster has agreed on 3. Run a covey between the two",
	} {
		_, err := join(t, address, token, func(r *Request) { r.Protocol = spoken })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", spoken, err)
		}
	}
	grant, err := join(t, address, token, func(r *Request) { r.Protocol = protocol.Range{Oldest: 2, Newest: 4} })
	if err != nil || grant.Protocol != 3 {
		t.Errorf("a neighbour is told of version %d: %v", grant.Protocol, err)
	}
}

// TestOldTokenIsGoodForTheOverlap joins with a token that names the CA before the last rotation.
func TestOldTokenIsGoodForTheOverlap(t *testing.T) {
	c, address, token := serve(t, nil)
	keys := c.id.Keys()
	keys, err := keys.RotateCA(now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	install := func(keys identity.Keys) {
		t.Helper()
		if _, err := c.id.Install(keys); err != nil {
			t.Fatal(err)
		}
	}
	install(keys)
	renamed := token
	renamed.CA = c.id.CAFingerprint()
	for _, good := range []Token{token, renamed} {
		grant, err := join(t, address, good)
		if err != nil {
			t.Fatal(err)
		}
		if grant.Keys.Generation != keys.Generation {
			t.Errorf("generation %d, want %d", grant.Keys.Generation, keys.Generation)
		}
	}
	keys, _, _ = keys.Settle(now.Add(time.Hour), true)
	install(keys)
	if _, err := join(t, address, token); err == nil || !strings.Contains(err.Error(), "belongs to another cluster") {
		t.Errorf("after the overlap: %v", err)
	}
	if _, err := join(t, address, renamed); err != nil {
		t.Error(err)
	}
}

// TestJoinWaitsForTheCluster names a server that is not there yet beside one that is.
func TestJoinWaitsForTheCluster(t *testing.T) {
	_, address, token := serve(t, nil)
	_, err := join(t, address, token, func(r *Request) { r.Servers = []string{"127.0.0.1:1", address} })
	if err != nil {
		t.Error(err)
	}
}

// TestJoinAtALinkLocalAddress, which says on which interface it is.
func TestJoinAtALinkLocalAddress(t *testing.T) {
	_, _, token := serve(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := ask(ctx, Request{Token: token, NodeID: "2", Name: "second"}, "[fe80::1%lo]:7443")
	if err == nil || !strings.Contains(err.Error(), "dial tcp [fe80::1%lo]:7443") {
		t.Errorf("error %v, want one of the network", err)
	}
}

func TestParseToken(t *testing.T) {
	good := Token{ID: "abcdef", Secret: "0123456789abcdef", CA: strings.Repeat("a", 64)}
	if got, err := ParseToken(good.String() + "\n"); err != nil || got != good {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "abc", "abcdef.0123456789abcdef", good.String() + "0", strings.ToUpper(good.String())} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("%q was taken for a token", bad)
		}
	}
}

// TestGuessingIsSlow asks with one wrong token after the other, and then with the right one.
func TestGuessingIsSlow(t *testing.T) {
	c, address, token := serve(t, nil)
	wrong := token
	wrong.Secret = "fedcba9876543210"
	for range refusalBurst {
		if _, err := join(t, address, wrong); err == nil || !strings.Contains(err.Error(), "is unknown") {
			t.Fatalf("error %v, want a refusal", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := ask(ctx, Request{Token: token, NodeID: "2", Name: "second"}, address)
	if err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("after %d wrong tokens: %v", refusalBurst, err)
	}
	c.clock.Store(int64(refusalInterval))
	if _, err := join(t, address, token); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

func TestAddressesAreCountedByNetwork(t *testing.T) {
	a := newAttempts()
	for range refusalBurst {
		a.refused("[2001:db8::1]:1", now)
	}
	for remote, want := range map[string]bool{
		"[2001:db8::2]:9": true, "[2001:db8:0:1::1]:1": false, "192.0.2.1:1": false, "[::ffff:192.0.2.1]:1": false,
	} {
		if got := a.tooMany(remote, now); got != want {
			t.Errorf("%s: too many is %v", remote, got)
		}
	}
	for i := range 3 * mostAddresses {
		a.refused(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1).String(), now)
	}
	if len(a.by) > mostAddresses {
		t.Errorf("%d addresses are remembered", len(a.by))
	}
}

func TestWorkerJoins(t *testing.T) {
	c, address, token := serve(t, map[string]string{"role": "worker"})
	if _, err := join(t, address, token); err == nil || !strings.Contains(err.Error(), "as a worker only") {
		t.Errorf("a server joins with a worker's token: %v", err)
	}
	dir := t.TempDir()
	csr, err := identity.NewRequest(dir)
	if err != nil {
		t.Fatal(err)
	}
	nodeID, err := identity.RequestID(csr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, address, token, func(r *Request) { r.Worker, r.CSR = true, csr }); err == nil || !strings.Contains(err.Error(), "proven") {
		t.Errorf("a worker joins with a key that it does not have: %v", err)
	}
	grant, err := join(t, address, token, func(r *Request) { r.Worker, r.CSR, r.NodeID = true, csr, nodeID })
	if err != nil {
		t.Fatal(err)
	}
	if grant.Keys.Current().Key != nil {
		t.Error("a worker is handed the cluster's key")
	}
	if err := identity.AdoptWorker(dir, grant.Keys, grant.Certificate); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if !identity.IsWorker(dir) || id.NodeID() != nodeID || id.CAFingerprint() != c.id.CAFingerprint() {
		t.Error("the worker does not have what it was handed")
	}
}

// TestWhoAsksSaysItSoon stops in the middle of a request.
func TestWhoAsksSaysItSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		l := &one{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
		l.conn <- there
		s := &http.Server{Handler: Handler(&cluster{}, time.Now, slog.New(slog.DiscardHandler))} //nolint:gosec // the handler has its own
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		if _, err := io.WriteString(here, "POST / HTTP/1.1\r\nHost: n1\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(here), nil)
		if err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%+v, %v", resp, err)
		}
		_ = here.Close()
		_ = s.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// one is a listener for one connection.
type one struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	select {
	case conn := <-o.conn:
		return conn, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

func (o *one) Close() error   { close(o.closed); return nil }
func (o *one) Addr() net.Addr { return &net.TCPAddr{} }

// TestAWorkerIsNotCalledAsTheAPIOrAServer, for which its certificate would be good.
func TestAWorkerIsNotCalledAsTheAPIOrAServer(t *testing.T) {
	_, address, token := serve(t, map[string]string{"role": "worker", "uses": "1"})
	wish := Request{Token: token, Worker: true, Log: slog.New(slog.DiscardHandler)}
	newNode(t)(&wish)
	for _, wish.Name = range []string{"", "kubernetes", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "*.example.com", "Shop", "server"} {
		if _, err := ask(t.Context(), wish, address); !errors.As(err, new(refusal)) {
			t.Errorf("a worker joins as %q: %v", wish.Name, err)
		}
	}
	wish.Name = "shop-1.example.com"
	if _, err := ask(t.Context(), wish, address); err != nil {
		t.Error(err)
	}
}

// TestWhatIsInTheWayIsSaidOnce of each server, however often all are asked.
func TestWhatIsInTheWayIsSaidOnce(t *testing.T) {
	const rounds = 3
	var asked atomic.Int64
	id, err := identity.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < rounds {
			http.Error(w, "no leader", http.StatusServiceUnavailable)
			return
		}
		http.Error(w, "enough", http.StatusForbidden)
	}))
	s.Listener = tls.NewListener(s.Listener, id.NewServer("first", "127.0.0.1").TLSConfig("http/1.1"))
	s.Start()
	t.Cleanup(s.Close)
	dead := []string{"127.0.0.1:1", "127.0.0.2:1"} // where nobody listens
	var said bytes.Buffer
	_, err = join(t, "", Token{ID: "abcdef", CA: id.CAFingerprint()}, func(r *Request) {
		r.Servers, r.Log = append(dead, s.Listener.Addr().String()), slog.New(slog.NewTextHandler(&said, nil))
	})
	if err == nil || !strings.HasSuffix(err.Error(), "enough") {
		t.Errorf("joining ends with %v", err)
	}
	for _, what := range append(dead, "no leader") {
		if strings.Count(said.String(), "join the cluster at "+what) != 1 && strings.Count(said.String(), what) != 1 {
			t.Errorf("%s is not said once:\n%s", what, said.String())
		}
	}
	if n := strings.Count(said.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, said.String())
	}
}
