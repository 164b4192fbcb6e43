package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// keysStatus is what covey ca status says.
type keysStatus struct {
	Generation  int
	Authorities []struct{ Fingerprint string }
	GossipKeys  []struct{ ID string }
	Behind      []string
}

func keysOf(n *harness.Node) (keysStatus, error) {
	var s keysStatus
	r := n.TryCovey("ca", "status", "-o", "json")
	if r.Code != 0 {
		return s, errors.New(r.Output())
	}
	return s, json.Unmarshal([]byte(r.Stdout), &s)
}

// TestCAAndGossipKeyAreRotated replaces both while one of three servers is off, and a worker runs a pod. What was handed out before is
// good for the overlap. Then the worker leaves.
func TestCAAndGossipKeyAreRotated(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t)
	c.Add().Start()
	first := c.Nodes[0]
	token := strings.TrimSpace(first.Covey("token", "create"))
	second, third := c.Add("--join", c.Address(1), "--token", token), c.Add("--join", c.Address(1), "--token", token)
	second.Start()
	third.Start()
	before, err := keysOf(first)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := os.ReadFile(first.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	old := first.File("old.kubeconfig", string(kubeconfig))
	admin := stolenCA(t, first).issue(t, "covey-admin", masters)
	first.Eventually(func() error { return ready(first, "node-3", corev1.ConditionTrue) })
	c.AddWorkers(1)
	worker := c.Nodes[3]
	held := certificateOf(t, worker)
	first.Apply(fmt.Sprintf(pinned, "on-worker", "node-4", sleeps))
	pod := first.Pod("app=on-worker", harness.Ready)
	third.Stop()

	second.Covey("ca", "rotate", "--overlap", "20s")
	if out := first.TryCovey("ca", "rotate"); out.Code == 0 || !strings.Contains(out.Output(), "a rotation is under way") {
		t.Errorf("a second rotation at once: %q", out.Output())
	}
	first.Kubectl("--kubeconfig", old, "get", "nodes")
	if code, err := get(t, first, admin, "h2", "/api/v1/nodes"); err != nil || code != http.StatusOK {
		t.Errorf("a certificate of the old CA during the overlap: %d, %v", code, err)
	}
	for _, n := range []*harness.Node{first, second} {
		n.Eventually(func() error { return rotated(n, before) })
	}
	if code, err := get(t, first, admin, "h2", "/api/v1/nodes"); err == nil {
		t.Errorf("a certificate of the old CA after the overlap: %d", code)
	}
	if r := first.TryKubectl("--kubeconfig", old, "get", "nodes", "--request-timeout=10s"); r.Code == 0 {
		t.Error("a client of the old CA trusts the servers after the overlap")
	}
	second.Kubectl("create", "configmap", "written")
	worker.Eventually(func() error {
		if bytes.Equal(certificateOf(t, worker), held) {
			return errors.New("the worker has the certificate of the old CA")
		}
		return nil
	})
	for _, asked := range []*harness.Node{worker, second} {
		asked.Kubectl("exec", pod.Name, "--", "true")
	}
	if got, want := worker.Kubectl("get", "pod", pod.Name, "-o", "jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount}"), string(pod.UID)+" 0"; got != want {
		t.Errorf("the worker's pod did not stay: %q, want %q", got, want)
	}

	third.Start()
	third.Eventually(func() error { return rotated(third, before) })
	first.Eventually(func() error { return ready(first, "node-3", corev1.ConditionTrue) })
	third.Kubectl("get", "configmap", "written")

	// Without an overlap, and with a restart in the middle, the worker comes back by its key.
	held = certificateOf(t, worker)
	second.Covey("ca", "rotate", "--overlap", "0s")
	worker.Kill()
	worker.Start()
	worker.Eventually(func() error {
		if bytes.Equal(certificateOf(t, worker), held) {
			return errors.New("the worker has the certificate of a CA that is trusted no more")
		}
		return ready(second, "node-4", corev1.ConditionTrue)
	})
	worker.Eventually(func() error {
		if r := worker.TryKubectl("--kubeconfig", second.Kubeconfig(), "exec", pod.Name, "--", "true"); r.Code != 0 {
			return errors.New(r.Output())
		}
		return nil
	})

	has(t, "covey leave", worker.Covey("leave", "--force"), "node/node-4 left the cluster")
	if code := worker.Ends(); code != 3 {
		t.Errorf("covey ends with status %d after the worker has left", code)
	}
	if nodes := first.Kubectl("get", "nodes", "-o", "name"); strings.Contains(nodes, "node-4") {
		t.Errorf("nodes after the worker has left: %s", nodes)
	}
	if left := len(worker.Running()); left > 0 {
		t.Errorf("the worker runs %d pods after it has left", left)
	}
}

// certificateOf is a worker's, as it keeps it.
func certificateOf(t *testing.T, worker *harness.Node) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(worker.DataDir, "identity", "node.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// rotated returns nil when the node has one CA and one gossip key, both others than before, and knows of nobody who has not.
func rotated(n *harness.Node, before keysStatus) error {
	now, err := keysOf(n)
	if err != nil {
		return err
	}
	if len(now.Authorities) != 1 || len(now.GossipKeys) != 1 || len(now.Behind) != 0 ||
		now.Authorities[0] == before.Authorities[0] || now.GossipKeys[0] == before.GossipKeys[0] {
		return fmt.Errorf("the keys are %+v, before they were %+v", now, before)
	}
	return nil
}
