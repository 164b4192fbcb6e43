package e2e

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// keysAreForKnownKeys asks for the cluster's keys, as a node does that was away for long and has its own key only.
func keysAreForKnownKeys(t *testing.T, n *harness.Node) {
	const request = "GET /keys HTTP/1.1\r\nHost: node\r\n\r\n"
	if answer, err := ask(t, n, nil, "covey-key/1", request); err == nil {
		t.Errorf("without a certificate: %.40q", answer)
	}
	ours := stolenCA(t, n)
	for name, cert := range map[string]*tls.Certificate{
		"the CA's": ours.issue(t, "system:node:node-1", servers), "a stranger's": falseCA(t, ours).issue(t, "system:node:node-1", servers),
	} {
		if answer, err := ask(t, n, cert, "covey-key/1", request); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 403") {
			t.Errorf("by a key that no node has, with %s certificate: %.40q, %v", name, answer, err)
		}
	}
	if answer, err := ask(t, n, selfSigned(t, n), "covey-key/1", request); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200") {
		t.Errorf("by the node's own key: %.40q, %v", answer, err)
	}
}

// workersAskInVain has a worker ask for what only a server may.
func workersAskInVain(t *testing.T, n *harness.Node) {
	worker := stolenCA(t, n).issue(t, "system:node:node-9", workers)
	if answer, err := ask(t, n, worker, "covey-raft/1", "\x00"); err == nil {
		t.Errorf("a worker speaks Raft: %q", answer)
	}
	for path, want := range map[string]string{"GET /store/revision": "403", "POST /store/entries": "403", "GET /node/pods": "403", "GET /ping": "200"} {
		if answer, err := ask(t, n, worker, "covey-peer/1", path+" HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n"); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 "+want) {
			t.Errorf("a worker asks for %s: %.40q, %v, want %s", path, answer, err, want)
		}
	}
	for _, path := range []string{"/api/v1/namespaces/kube-system/secrets", "/covey/backup", "/covey/status"} {
		if code, err := get(t, n, worker, "h2", path); err != nil || code != http.StatusForbidden {
			t.Errorf("a worker asks for %s: %d, %v", path, code, err)
		}
	}
}
