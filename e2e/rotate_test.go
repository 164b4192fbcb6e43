package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
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

// TestCAAndGossipKeyAreRotated replaces both while one of three nodes is off. What was handed out before is good for the overlap.
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

	third.Start()
	third.Eventually(func() error { return rotated(third, before) })
	first.Eventually(func() error { return ready(first, "node-3", corev1.ConditionTrue) })
	third.Kubectl("get", "configmap", "written")
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
