package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestQuickStart is the README's way from a manifest to an answer.
func TestQuickStart(t *testing.T) {
	manifest := filepath.Join(harness.Repository(), "examples", "hello", "hello.yaml")
	for name, args := range map[string][]string{
		"client side": {"kubectl", "apply", "-f", manifest},
		"server side": {"kubectl", "apply", "--server-side", "-f", manifest},
		"covey":       {"covey", "apply", "-f", manifest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := harness.Start(t)
			r := n.Pipe("", args[0], args[1:]...)
			if r.Code != 0 || !strings.HasPrefix(r.Stdout, "deployment.apps/hello ") || r.Stderr != "" {
				t.Fatalf("apply: %+v", r)
			}
			if out := n.Kubectl("rollout", "status", "deployment/hello"); !strings.Contains(out, `deployment "hello" successfully rolled out`) {
				t.Errorf("rollout status: %s", out)
			}
			pod := n.Pod("app=hello", harness.Ready)
			answers(t, n, pod)
			again := n.Pipe("", args[0], args[1:]...)
			if again.Code != 0 || again.Stderr != "" {
				t.Errorf("apply again: %+v", again)
			}
			if now := n.Pod("app=hello", harness.Ready); now.ResourceVersion != pod.ResourceVersion {
				t.Errorf("applying the same manifest again changed the pod: %s, before %s", now.ResourceVersion, pod.ResourceVersion)
			}
		})
	}
}

func answers(t *testing.T, n *harness.Node, pod *corev1.Pod) {
	t.Helper()
	url := "http://" + pod.Status.PodIP + ":5000"
	n.Serves(url + "/") // without a readiness probe a pod is ready before its program listens
	if code, body := n.Get(url + "/api/hello"); code != 200 || body != "Hello, hello!" {
		t.Errorf("GET /api/hello: %d %q", code, body)
	}
	if code, body := n.Post(url+"/api/hello", `{"n": 1}`); code != 200 || body != `Received data: {"n":1}` {
		t.Errorf("POST /api/hello: %d %q", code, body)
	}
}

func TestStartMakesAPrivateKubeconfigAndSaysWhatIsNext(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	info, err := os.Stat(n.Kubeconfig())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%s: %v %v, want mode 0600", n.Kubeconfig(), info, err)
	}
	if !strings.Contains(n.Said(), n.Kubeconfig()) {
		t.Errorf("the line that says that covey is ready does not name the kubeconfig: %q", n.Said())
	}
}
