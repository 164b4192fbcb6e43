package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

// answerTime bounds the wait for an answer that is not to come.
const answerTime = 20 * time.Second

// The ALPN protocols of the port: for clients, and for nodes only.
var (
	clientProtocols = []string{"h2", "http/1.1", ""}
	nodeProtocols   = []string{"covey-raft/1", "covey-gossip/1", "covey-peer/1"}
)

// TestNothingIsLetIn tries each socket that a node listens on, and looks afterwards whether anything fell over.
func TestNothingIsLetIn(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	pid := n.PID()
	t.Run("one by one", func(t *testing.T) {
		for name, attack := range map[string]func(*testing.T, *harness.Node){
			"sockets": onlyThePortIsOpen, "certificates": certificatesAreChecked, "malformed": malformedInputIsRefused,
			"frames": malformedFramesOfNodesAreRefused, "packets": strangersPacketsAreDropped, "token": usedTokenIsRefused,
			"worker": workersAskInVain, "keys": keysAreForKnownKeys,
		} {
			t.Run(name, func(t *testing.T) { t.Parallel(); attack(t, n) })
		}
	})
	t.Run("crowd", func(t *testing.T) { idleCrowdStopsNobody(t, n) })
	if n.PID() != pid {
		t.Error("covey ended")
	}
	n.Kubectl("create", "configmap", "still-there")
	if out := n.Covey("status", "-o", "json"); strings.Count(out, `"name"`) != 1 {
		t.Errorf("somebody is in the cluster:\n%s", out)
	}
}

// onlyThePortIsOpen knows every socket by which something could come in.
func onlyThePortIsOpen(t *testing.T, n *harness.Node) {
	_, port, _ := net.SplitHostPort(harness.Address)
	for _, line := range strings.Split(strings.TrimSpace(n.Sockets("-Hlntu")), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasSuffix(fields[4], ":"+port) {
			t.Errorf("something else than the port is open: %s", line)
		}
	}
	for line := range strings.Lines(n.Sockets("-Hlxp", "src", "@*")) {
		// A datagram socket without a name of its choice is one to send from, to systemd's journal.
		if !strings.HasPrefix(line, "u_dgr") {
			t.Errorf("an abstract socket, which any user of the machine may open: %s", line)
		}
	}
	found := 0
	for _, dir := range []string{n.DataDir, n.StateDir} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Type()&fs.ModeSocket == 0 {
				return nil
			}
			found++
			if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
				t.Errorf("any user of the machine may open %s: %v", path, info.Mode())
			}
			return nil
		})
	}
	if found == 0 {
		t.Error("containerd's socket was not looked at")
	}
}

// certificatesAreChecked connects in each protocol with each kind of bad certificate.
func certificatesAreChecked(t *testing.T, n *harness.Node) {
	ours := stolenCA(t, n)
	theirs := falseCA(t, ours)
	const node = "system:node:node-9"
	certificates := map[string]*tls.Certificate{
		"none":                nil,
		"another cluster's":   theirs.issue(t, node, servers),
		"another's admin":     theirs.issue(t, "covey-admin", masters),
		"expired":             ours.issue(t, node, servers, expired),
		"for servers":         ours.issue(t, node, servers, serversOnly),
		"a user's":            ours.issue(t, "somebody", []string{"people"}),
		"a node without role": ours.issue(t, node, []string{"system:nodes"}),
		"an administrator's":  ours.issue(t, "covey-admin", masters),
	}
	for name, cert := range certificates {
		for _, proto := range nodeProtocols {
			if answer, err := ask(t, n, cert, proto, "GET /ping HTTP/1.1\r\nHost: node\r\n\r\n"); err == nil {
				t.Errorf("certificate %s, protocol %s: %q", name, proto, answer)
			}
		}
		for _, proto := range clientProtocols {
			for _, path := range []string{"/api/v1/secrets", "/covey/status", "/covey/backup", "/metrics"} {
				if code, err := get(t, n, cert, proto, path); err == nil && code != http.StatusUnauthorized && code != http.StatusForbidden &&
					name != "an administrator's" {
					t.Errorf("certificate %s, protocol %q, %s: %d", name, proto, path, code)
				}
			}
		}
	}
	// With good ones all of it works, or the test would find nothing.
	if answer, err := ask(t, n, ours.issue(t, node, servers), "covey-peer/1", "GET /ping HTTP/1.1\r\nHost: node\r\n\r\n"); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200") {
		t.Errorf("a node of the cluster: %q, %v", answer, err)
	}
	for _, proto := range clientProtocols {
		if code, err := get(t, n, certificates["an administrator's"], proto, "/api/v1/secrets"); err != nil || code != http.StatusOK {
			t.Errorf("an administrator by %q: %d, %v", proto, code, err)
		}
		if code, err := get(t, n, nil, proto, "/version"); err != nil || code != http.StatusOK {
			t.Errorf("the version by %q: %d, %v", proto, code, err)
		}
	}
}

func tlsConfig(cert *tls.Certificate, proto string) *tls.Config {
	cfg := &tls.Config{InsecureSkipVerify: true} // who the server is does not matter here
	if proto != "" {
		cfg.NextProtos = []string{proto}
	}
	if cert != nil {
		// Shown whatever CAs the server names.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return cfg
}

// ask sends text in a protocol and returns the first that comes back; an error says that nothing came.
func ask(t *testing.T, n *harness.Node, cert *tls.Certificate, proto, text string) (string, error) {
	t.Helper()
	raw := n.Dial(t, "tcp", harness.Address)
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(answerTime))
	conn := tls.Client(raw, tlsConfig(cert, proto))
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != proto {
		return "", fmt.Errorf("protocol %q was agreed on, not %q", got, proto)
	}
	answer := make([]byte, 256)
	count, err := conn.Read(answer)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("%s: the connection is left open", proto)
	}
	return string(answer[:count]), err
}

// get returns the status of a GET.
func get(t *testing.T, n *harness.Node, cert *tls.Certificate, proto, path string) (int, error) {
	t.Helper()
	raw := n.Dial(t, "tcp", harness.Address)
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(answerTime))
	conn := tls.Client(raw, tlsConfig(cert, proto))
	req, err := http.NewRequest(http.MethodGet, "https://"+harness.Address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if proto == "h2" {
		protocols := new(http.Protocols)
		protocols.SetHTTP2(true)
		client := &http.Transport{
			DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return conn, conn.HandshakeContext(ctx) },
			Protocols:      protocols,
		}
		resp, err := client.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		_ = resp.Body.Close()
		return resp.StatusCode, nil
	}
	if err := req.Write(conn); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

// malformedInputIsRefused sends what is no TLS, what is no HTTP, and too much of it.
func malformedInputIsRefused(t *testing.T, n *harness.Node) {
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	hello := []byte{22, 3, 1, 0xff, 0xff, 1, 0, 0xff, 0xfb, 3, 3} // says that 64 KiB follow
	for name, input := range map[string][]byte{
		"noise": noise, "zeros": make([]byte, 1<<20), "half a hello": hello, "a long hello": append(hello, noise[:1<<17]...),
		"HTTP without TLS": []byte("GET /api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		conn := n.Dial(t, "tcp", harness.Address)
		_ = conn.SetDeadline(time.Now().Add(answerTime))
		_, _ = conn.Write(input) // may be cut off in the middle
		answer, err := io.ReadAll(conn)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: the connection is still open after %v", name, answerTime)
		}
		if bytes.Contains(answer, []byte("items")) {
			t.Errorf("%s: answered %q", name, answer)
		}
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		cfg := tlsConfig(nil, "h2")
		cfg.MinVersion, cfg.MaxVersion = version, version
		if err := tls.Client(n.Dial(t, "tcp", harness.Address), cfg).Handshake(); err == nil {
			t.Errorf("%s is spoken", tls.VersionName(version))
		}
	}
	if _, err := ask(t, n, nil, "gopher/1", "x"); err == nil {
		t.Error("an unknown protocol is spoken")
	}
	long := strings.Repeat("x", 4<<20)
	for name, request := range map[string]string{
		"a long header":   "GET /version HTTP/1.1\r\nHost: x\r\nX: " + long + "\r\n\r\n",
		"a long path":     "GET /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"a long body":     "POST /covey/join HTTP/1.1\r\nHost: x\r\nContent-Length: 4194304\r\n\r\n" + long,
		"deep JSON":       "POST /covey/join HTTP/1.1\r\nHost: x\r\nContent-Length: 15000\r\n\r\n" + strings.Repeat("[", 15000),
		"no HTTP":         long,
		"a false length":  "POST /covey/join HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
		"a path upwards":  "GET /version/../api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n",
		"a double slash":  "GET //api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n",
		"an encoded path": "GET /version/%2e%2e/api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		answer, _ := ask(t, n, nil, "http/1.1", request)
		if strings.HasPrefix(answer, "HTTP/1.1 200") {
			t.Errorf("%s: answered %q", name, answer)
		}
	}
}

// usedTokenIsRefused replays a request to join whose token was good once.
func usedTokenIsRefused(t *testing.T, n *harness.Node) {
	token := strings.TrimSpace(n.Covey("token", "create", "--uses", "1"))
	id, rest, _ := strings.Cut(token, ".")
	secret, _, _ := strings.Cut(rest, ".")
	body := fmt.Sprintf(`{"tokenID":%q,"secret":%q,"nodeID":"0123456789abcdef0123456789abcdef","name":"node-9","protocol":{"oldest":1,"newest":255}}`, id, secret)
	request := fmt.Sprintf("POST /covey/join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for i, want := range []string{"200", "403"} {
		answer, err := ask(t, n, nil, "http/1.1", request)
		if err != nil || !regexp.MustCompile(`^HTTP/1\.1 `+want).MatchString(answer) {
			t.Errorf("request %d to join with a token for one node: %.100q, %v; want %s", i+1, answer, err, want)
		}
	}
}

// idleCrowdStopsNobody has far more connections open than a machine should keep for strangers.
func idleCrowdStopsNobody(t *testing.T, n *harness.Node) {
	const crowd = 1000
	hello := []byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}
	for i := range crowd {
		conn := n.Dial(t, "tcp", harness.Address)
		switch i % 3 {
		case 1: // goes on as slowly as can be
			_, _ = conn.Write(hello)
		case 2: // is through the handshake, and says nothing more
			go func() { _ = tls.Client(conn, tlsConfig(nil, "h2")).Handshake() }()
		}
	}
	n.Kubectl("get", "namespaces", "--request-timeout=20s")
	n.Covey("status")
}
