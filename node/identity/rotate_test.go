package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// start is when these tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// member is another server of the same cluster, with a key of its own.
func member(t *testing.T, of *Identity, c *clock) *Identity {
	t.Helper()
	dir := t.TempDir()
	if err := Adopt(dir, of.Keys()); err != nil {
		t.Fatal(err)
	}
	return open(t, dir, c)
}

func rotate(t *testing.T, id *Identity, c *clock, overlap time.Duration) Keys {
	t.Helper()
	keys := id.Keys()
	next, err := keys.RotateCA(c.t, overlap)
	if err != nil {
		t.Fatal(err)
	}
	install(t, id, next)
	return next
}

func install(t *testing.T, id *Identity, keys Keys) {
	t.Helper()
	if changed, err := id.Install(keys); err != nil || !changed {
		t.Fatalf("install generation %d: %v, changed %v", keys.Generation, err, changed)
	}
}

// meets has a connect with b in a protocol, and returns why a refuses b, or b a.
func meets(t *testing.T, a, b *Identity, proto string) error {
	t.Helper()
	server := b.NewServer("b").TLSConfig("h2", proto)
	var refused error
	inner := server.GetConfigForClient
	server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cfg, err := inner(hello)
		if proto != KeyProtocol {
			cfg.VerifyConnection = func(cs tls.ConnectionState) error {
				_, refused = b.NodeOf(cs.PeerCertificates, x509.ExtKeyUsageClientAuth)
				return refused
			}
		}
		return cfg, err
	}
	_, err := handshake(t, server, a.NewServer("a").DialConfig(b.NodeID(), proto))
	return errors.Join(err, refused)
}

// TestRotationIsNotNoticed rotates the CA while servers learn of it one after the other, and clients do not at all.
func TestRotationIsNotNoticed(t *testing.T) {
	c := &clock{start}
	a := open(t, t.TempDir(), c)
	b := member(t, a, c)
	file := filepath.Join(t.TempDir(), "admin.kubeconfig")
	if _, err := a.EnsureAdminKubeconfig(file, "https://127.0.0.1:7443"); err != nil {
		t.Fatal(err)
	}
	old := clientConfig(a, c, file, t)
	talk := func(when string) {
		t.Helper()
		for _, proto := range []string{"covey-raft/1", KeyProtocol} {
			if err := errors.Join(meets(t, a, b, proto), meets(t, b, a, proto)); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
	}
	talk("before")
	fingerprint := a.CAFingerprint()
	next := rotate(t, a, c, time.Hour)
	if a.CAFingerprint() == fingerprint {
		t.Error("the CA is the same")
	}
	talk("one knows of it")
	install(t, b, next)
	talk("both do")
	for _, id := range []*Identity{a, b} {
		if _, err := handshake(t, id.NewServer("n").TLSConfig("h2"), old); err != nil {
			t.Errorf("a client of the old CA: %v", err)
		}
	}
	c.t = c.t.Add(2 * time.Hour)
	settled, changed, _ := next.Settle(c.t, true)
	if !changed || len(settled.Authorities) != 1 {
		t.Fatalf("after the overlap: changed %v, %d CAs", changed, len(settled.Authorities))
	}
	install(t, a, settled)
	talk("one trusts the old CA no longer, and both have new certificates")
	if _, err := handshake(t, a.NewServer("n").TLSConfig("h2"), old); err == nil {
		t.Error("a client of the old CA is let in after the overlap")
	}
}

// TestNodeThatSleptThroughRotations trusts the others when it is back, and proves its key.
func TestNodeThatSleptThroughRotations(t *testing.T) {
	c := &clock{start}
	a := open(t, t.TempDir(), c)
	asleep := member(t, a, c)
	stranger := open(t, t.TempDir(), c)
	for range 3 {
		keys := rotate(t, a, c, 0)
		settled, _, _ := keys.Settle(c.t, true)
		install(t, a, settled)
	}
	c.t = c.t.Add(30 * 24 * time.Hour)
	if err := meets(t, asleep, a, "covey-raft/1"); err == nil {
		t.Error("a certificate of a CA that is not trusted is good for Raft")
	}
	if err := meets(t, asleep, a, KeyProtocol); err != nil {
		t.Errorf("it cannot ask for the new keys: %v", err)
	}
	if err := meets(t, stranger, a, KeyProtocol); err == nil {
		t.Error("a node of another cluster trusts this one")
	}
}

func TestExpiredCertificateIsGoodForAKnownKeyOnly(t *testing.T) {
	c := &clock{start}
	a := open(t, t.TempDir(), c)
	b := member(t, a, c)
	cert, err := b.NewServer("b").current(true)
	if err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(2 * nodeLife)
	var invalid x509.CertificateInvalidError
	if _, err := a.NodeOf([]*x509.Certificate{cert.Leaf}, x509.ExtKeyUsageClientAuth); !errors.As(err, &invalid) {
		t.Errorf("error %v, want one that says it expired", err)
	}
	a.SetKnown(func(nodeID string) bool { return nodeID == b.NodeID() })
	if node, err := a.NodeOf([]*x509.Certificate{cert.Leaf}, x509.ExtKeyUsageClientAuth); err != nil || node.ID != b.NodeID() {
		t.Errorf("%v, %v", node, err)
	}
}

func TestOneRotationAtATime(t *testing.T) {
	c := &clock{start}
	a := open(t, t.TempDir(), c)
	keys := rotate(t, a, c, time.Hour)
	if _, err := keys.RotateCA(c.t, time.Hour); !errors.Is(err, ErrRotating) {
		t.Errorf("error %v", err)
	}
	if changed, err := a.Install(keys); changed || err != nil {
		t.Errorf("the same keys again: %v, %v", changed, err)
	}
	if len(keys.Authorities[1].Key) != 0 {
		t.Error("the old CA's key is kept")
	}
	if keys := keys.ForWorker(); len(keys.Authorities[0].Key) != 0 {
		t.Error("a worker is given the CA's key")
	}
}

// TestGossipKeyIsReplaced goes through the steps: everybody has the new key before it encrypts, and the old one is understood for a
// while after.
// TestAStolenServersKeysAreReplacedAtOnce, though it was stolen in the middle of a rotation and has the new ones too.
func TestAStolenServersKeysAreReplacedAtOnce(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	keys, err := NewKeys(now)
	if err != nil {
		t.Fatal(err)
	}
	rotate := func(k Keys, overlap time.Duration) Keys {
		t.Helper()
		k, err := k.RotateCA(now, overlap)
		if err == nil {
			k, err = k.RotateGossip(now, overlap)
		}
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	stolen := rotate(keys, 24*time.Hour)
	for name, begun := range map[string]Keys{"new gossip key waits": stolen, "new gossip key encrypts": settled(stolen, now)} {
		after := settled(rotate(begun, 0), now)
		after = settled(after, now.Add(time.Second))
		if len(after.Authorities) != 1 || len(after.Gossip) != 1 {
			t.Fatalf("%s: %d CAs and %d gossip keys are left", name, len(after.Authorities), len(after.Gossip))
		}
		for _, known := range stolen.Authorities {
			if after.Authorities[0].Fingerprint() == known.Fingerprint() {
				t.Errorf("%s: a CA that the thief has is trusted", name)
			}
		}
		for _, known := range stolen.Gossip {
			if after.Gossip[0].ID() == known.ID() {
				t.Errorf("%s: a gossip key that the thief has encrypts", name)
			}
		}
		if _, err := after.open(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// settled are the keys once all nodes have them.
func settled(k Keys, now time.Time) Keys {
	next, _, _ := k.Settle(now, true)
	return next
}

func TestGossipKeyIsReplaced(t *testing.T) {
	keys, err := NewKeys(start)
	if err != nil {
		t.Fatal(err)
	}
	first := keys.Gossip[0].ID()
	now := start
	for _, step := range []struct {
		after     time.Duration
		everybody bool
		keys      int
		encrypts  bool // with the first
		wait      time.Duration
	}{
		{0, true, 1, true, gossipLife},
		{gossipLife, false, 2, true, 0},
		{0, false, 2, true, gossipPatience},
		{time.Second, true, 2, false, 0},
		{time.Second, true, 2, false, gossipOverlap - time.Second},
		{gossipOverlap, true, 1, false, 0},
	} {
		now = now.Add(step.after)
		next, changed, wait := keys.Settle(now, step.everybody)
		if changed != (next.Generation > keys.Generation) || (!changed && wait != step.wait) {
			t.Errorf("%+v: changed %v, generation %d after %d, wait %v", step, changed, next.Generation, keys.Generation, wait)
		}
		if keys = next; len(keys.Gossip) != step.keys || (keys.Gossip[0].ID() == first) != step.encrypts {
			t.Errorf("%+v: %d keys, the first is %s", step, len(keys.Gossip), keys.Gossip[0].ID())
		}
	}
	waiting, err := keys.RotateGossip(now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if next, changed, _ := waiting.Settle(now.Add(gossipPatience), false); !changed || next.Gossip[0].ID() == keys.Gossip[0].ID() {
		t.Error("a node that does not take up the new key holds it up for ever")
	}
}

// TestRequestsOnAnOldConnection are judged by the CAs and the time of now, not by those when the client connected.
func TestRequestsOnAnOldConnection(t *testing.T) {
	c := &clock{start}
	id := open(t, t.TempDir(), c)
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := id.issueAdmin("admin", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	chains, err := cert.Verify(x509.VerifyOptions{Roots: id.shared.Load().roots(), CurrentTime: c.t, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		t.Fatal(err)
	}
	state := &tls.ConnectionState{VerifiedChains: chains}
	good := func(when string, want bool) {
		t.Helper()
		if id.StillGood(state) != want {
			t.Errorf("%s: it is good: %v", when, !want)
		}
	}
	good("when it connects", true)
	keys := rotate(t, id, c, time.Hour)
	good("during the overlap", true)
	c.t = c.t.Add(2 * adminLife)
	good("when it has expired", false)
	c.t = start.Add(time.Hour)
	settled, _, _ := keys.Settle(c.t, true)
	install(t, id, settled)
	good("after the overlap", false)
	if !id.StillGood(&tls.ConnectionState{}) {
		t.Error("a client without a certificate is refused before the API could")
	}
}

// TestAServerTakesNoWorkersKeys, with which it could prove nothing any more.
func TestAServerTakesNoWorkersKeys(t *testing.T) {
	id, err := Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	keys := id.Keys()
	if keys, err = keys.RotateCA(time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if changed, err := id.Install(keys.ForWorker()); err == nil || changed {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if changed, err := id.Install(keys); err != nil || !changed {
		t.Errorf("changed %v, error %v", changed, err)
	}
}
