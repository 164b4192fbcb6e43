package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func open(t *testing.T, dir string, c *clock) *Identity {
	t.Helper()
	id, err := Open(dir, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentityOutlivesARestart(t *testing.T) {
	dir, c := t.TempDir(), &clock{time.Now()}
	first, second := open(t, dir, c), open(t, dir, c)
	if first.NodeID() != second.NodeID() || string(first.CAPEM()) != string(second.CAPEM()) {
		t.Error("a second Open gave another identity")
	}
	for _, name := range []string{"cluster.json", "node.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, info.Mode().Perm())
		}
	}
}

// TestCertificatesEndWhenTheCalendarDoes has a clock be so far ahead that the end could not be written down.
func TestCertificatesEndWhenTheCalendarDoes(t *testing.T) {
	id := open(t, t.TempDir(), &clock{time.Now()})
	id.IssueBy(func() time.Time { return forever.AddDate(0, 0, -3) })
	node, err := id.issueNode(Node{Name: "n", Role: RoleServer}, &id.key.PublicKey, nil, nil)
	if err != nil || !node.NotAfter.Equal(forever) {
		t.Errorf("a node's: %+v, %v", node, err)
	}
	if _, err := id.issueAdmin("admin", &id.key.PublicKey); err != nil {
		t.Errorf("an administrator's: %v", err)
	}
}

func TestDamagedFilesAreNamed(t *testing.T) {
	for _, name := range []string{"cluster.json", "node.key"} {
		t.Run(name, func(t *testing.T) {
			dir, c := t.TempDir(), &clock{time.Now()}
			open(t, dir, c)
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, c.now); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v, want one that names %s", err, file)
			}
		})
	}
}

func TestForeignCAKeyIsNotTaken(t *testing.T) {
	dir, c := t.TempDir(), &clock{time.Now()}
	keys, other := open(t, dir, c).Keys(), open(t, t.TempDir(), c).Keys()
	keys.Authorities[0].Key = other.Authorities[0].Key
	if err := writeKeys(dir, keys); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, c.now); err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("error %v, want one that says what to restore", err)
	}
}

// handshake connects over the loopback interface and returns the server's certificate as the client saw it.
func handshake(t *testing.T, server *tls.Config, client *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		served <- conn.(*tls.Conn).Handshake()
		_ = conn.Close()
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0], <-served
}

func clientConfig(id *Identity, c *clock, kubeconfigFile string, t *testing.T) *tls.Config {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(id.CAPEM())
	cfg := &tls.Config{RootCAs: roots, Time: c.now}
	if kubeconfigFile != "" {
		user := readKubeconfig(t, kubeconfigFile).AuthInfos[0].AuthInfo
		pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
		if err != nil {
			t.Fatal(err)
		}
		// Shown whatever CAs the server names.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return cfg
}

func readKubeconfig(t *testing.T, file string) clientcmdv1.Config {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cfg clientcmdv1.Config
	if err := yaml.Unmarshal(data, &cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestServerCertificateRenewsItself(t *testing.T) {
	c := &clock{time.Now()}
	id := open(t, t.TempDir(), c)
	cfg := id.NewServer("n1", "10.0.0.7").TLSConfig("h2")
	first, err := handshake(t, cfg, clientConfig(id, c, "", t))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.VerifyHostname("10.0.0.7"); err != nil {
		t.Error(err)
	}
	again, err := handshake(t, cfg, clientConfig(id, c, "", t))
	if err != nil || !again.Equal(first) {
		t.Errorf("a second handshake gave another certificate (error %v)", err)
	}
	c.t = c.t.Add(nodeLife)
	later, err := handshake(t, cfg, clientConfig(id, c, "", t))
	if err != nil {
		t.Fatalf("after the first certificate's life: %v", err)
	}
	if later.Equal(first) {
		t.Error("the certificate was not renewed")
	}
}

func TestForeignClientIsRefused(t *testing.T) {
	c := &clock{time.Now()}
	id, other := open(t, t.TempDir(), c), open(t, t.TempDir(), c)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if _, err := other.EnsureAdminKubeconfig(file, "https://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	_, err := handshake(t, id.NewServer("n1").TLSConfig("h2"), clientConfig(id, c, file, t))
	var unknown *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	if !errors.As(err, &unknown) && !errors.As(err, &authority) {
		t.Errorf("error %v, want one about the certificate", err)
	}
}

func TestAdminKubeconfig(t *testing.T) {
	c := &clock{time.Now()}
	id := open(t, t.TempDir(), c)
	file := filepath.Join(t.TempDir(), "admin.kubeconfig")
	ensure := func(server string) string {
		t.Helper()
		if _, err := id.EnsureAdminKubeconfig(file, server); err != nil {
			t.Fatal(err)
		}
		return string(readKubeconfig(t, file).AuthInfos[0].AuthInfo.ClientCertificateData)
	}
	first := ensure("https://127.0.0.1:7443")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (error %v), want 600", info.Mode(), err)
	}
	if _, err := handshake(t, id.NewServer("n1").TLSConfig("h2"), clientConfig(id, c, file, t)); err != nil {
		t.Errorf("the administrator is not let in: %v", err)
	}
	if ensure("https://127.0.0.1:7443") != first {
		t.Error("a good kubeconfig was replaced")
	}
	if second := ensure("https://127.0.0.1:8443"); second == first {
		t.Error("a kubeconfig for another server was kept")
	}
	last := ensure("https://127.0.0.1:7443")
	c.t = c.t.Add(adminLife * 3 / 4)
	if ensure("https://127.0.0.1:7443") == last {
		t.Error("a kubeconfig near its end was kept")
	}
}

func TestCertificateCoversTheAddressItWasReachedAt(t *testing.T) {
	c := &clock{time.Now()}
	id := open(t, t.TempDir(), c)
	s := id.NewServer("n1")
	conn := addrConn{addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 7443}}
	cert, err := s.certificate(&tls.ClientHelloInfo{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.Leaf.VerifyHostname("192.0.2.9"); err != nil {
		t.Error(err)
	}
}

type addrConn struct {
	net.Conn
	addr net.Addr
}

func (c addrConn) LocalAddr() net.Addr { return c.addr }

// TestANodeThatWasRemovedIsRefused shows its certificate, which is good otherwise, as a node and as a client.
func TestANodeThatWasRemovedIsRefused(t *testing.T) {
	c := &clock{time.Now()}
	server := open(t, t.TempDir(), c)
	worker := newWorker(t, server, c)
	cert, err := worker.NewServer("w1").current(true)
	if err != nil {
		t.Fatal(err)
	}
	shown := []*x509.Certificate{cert.Leaf}
	state := &tls.ConnectionState{PeerCertificates: shown, VerifiedChains: [][]*x509.Certificate{{cert.Leaf, server.shared.Load().trusted[0]}}}
	for _, removed := range []bool{false, true} {
		server.SetRemoved(func(nodeID string) bool { return removed && nodeID == worker.NodeID() })
		_, err := server.NodeOf(shown, x509.ExtKeyUsageClientAuth)
		if errors.Is(err, ErrRemoved) != removed || removed && !strings.Contains(err.Error(), "node w1 ("+worker.NodeID()+"): it was removed") {
			t.Errorf("removed=%v: %v", removed, err)
		}
		if server.StillGood(state) == removed {
			t.Errorf("removed=%v: its certificate is good for the API: %v", removed, !removed)
		}
	}
}
