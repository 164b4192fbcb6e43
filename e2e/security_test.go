package e2e

import (
	"net/http"
	"os"
	"testing"

	"k8s.io/client-go/rest"

	"covey.dev/covey/e2e/harness"
)

// TestStrangersSeeVersionAndHealthOnly asks without a certificate, and with one of another cluster.
func TestStrangersSeeVersionAndHealthOnly(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	anonymous := rest.AnonymousClientConfig(n.Config())
	for path, want := range map[string]int{
		"/version": 200, "/livez": 200, "/readyz": 200, "/healthz": 200,
		"/api": 401, "/apis": 401, "/api/v1/pods": 401, "/api/v1/namespaces/default/secrets": 401, "/openapi/v3": 401,
		"/apis/apps/v1/deployments": 401, "/metrics": 401, "/debug/pprof/": 401, "/nosuch": 401,
	} {
		if got := status(t, anonymous, path); got != want {
			t.Errorf("GET %s without a certificate: %d, want %d", path, got, want)
		}
	}
	other := harness.New(t)
	other.Start()
	stranger := n.Config()
	theirs := other.Config()
	stranger.CertData, stranger.KeyData = theirs.CertData, theirs.KeyData
	stranger.CertFile, stranger.KeyFile = theirs.CertFile, theirs.KeyFile
	if got := status(t, stranger, "/api/v1/secrets"); got == 200 {
		t.Error("the administrator of another cluster is let in")
	}
	// And the other way round: a client does not trust a server of another cluster.
	misled := n.Config()
	misled.CAData, misled.CAFile = theirs.CAData, theirs.CAFile
	if got := status(t, misled, "/version"); got != 0 {
		t.Errorf("a client that trusts another cluster's CA got %d", got)
	}
}

// status is 0 where no answer comes.
func status(t *testing.T, cfg *rest.Config, path string) int {
	t.Helper()
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(cfg.Host + path)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusForbidden {
		return http.StatusUnauthorized // either says no
	}
	return resp.StatusCode
}

// TestNobodyElseReadsKeysAndSecrets looks at what other users of the machine could open.
func TestNobodyElseReadsKeysAndSecrets(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Kubectl("create", "secret", "generic", "pass", "--from-literal=word=swordfish")
	n.Apply(pod("reader", `
  volumes: [{name: v, secret: {secretName: pass}}]
  containers:
  - {name: c, image: "busybox:1", command: [sleep, "3600"], volumeMounts: [{name: v, mountPath: /v}]}`))
	n.Pod("app=reader", harness.Ready)
	for _, path := range n.ReadableByOthers() {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, secret := range []string{"swordfish", "PRIVATE KEY"} {
			if contains(content, secret) {
				t.Errorf("any user of the machine can read %q in %s", secret, path)
			}
		}
	}
}
