package e2e

import (
	"crypto/ecdsa"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// budget lets one of the pods of app web be missing at a time.
const budget = `{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web}, spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}}`

// TestNodesLeave takes a node out of service and back, then the leader out of the cluster for good, and then a dead one.
func TestNodesLeave(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	second := c.Nodes[1]
	second.Apply(shell("web", sleeps))
	second.Apply(budget)
	second.Kubectl("scale", "deployment/web", "--replicas=3")
	second.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")

	has(t, "covey cordon", second.Covey("cordon", "node-2"), "node/node-2 cordoned")
	has(t, "covey cordon again", second.Covey("cordon", "node/node-2"), "node/node-2 already cordoned")
	has(t, "kubectl get nodes", second.Kubectl("get", "nodes"), "Ready,SchedulingDisabled")
	has(t, "covey uncordon", second.Covey("uncordon", "node-2"), "node/node-2 uncordoned")

	second.Apply(`{apiVersion: v1, kind: Pod, metadata: {name: alone}, spec: {nodeName: node-3, terminationGracePeriodSeconds: 1, containers: [{name: c, image: "busybox:1", command: [sleep, "1000"]}]}}`)
	if r := second.TryCovey("drain", "node-3", "--dry-run"); r.Code == 0 || !strings.Contains(r.Stderr, "declare no controller (use --force to override): default/alone") {
		t.Errorf("a pod that would be lost is no obstacle: %s", r.Output())
	}
	drained := second.Covey("drain", "node-3", "--force")
	has(t, "covey drain", drained, "pod/alone evicted")
	has(t, "covey drain", drained, "node/node-3 drained")
	if pods := onNode(second, "node-3"); pods != "" {
		t.Errorf("a drained node runs %s", pods)
	}
	second.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")

	leader := c.Nodes[leaderOf(second)-1]
	gone := leader.Covey("status")
	has(t, "covey leave", leader.Covey("leave"), "left the cluster")
	if code := leader.Ends(); code != 3 {
		t.Errorf("covey ends with status %d after it has left", code)
	}
	if r := leader.TryCovey("start", "--data-dir", leader.DataDir, "--state-dir", leader.StateDir, "--listen", "127.0.0.1:0"); r.Code != 3 || !strings.Contains(r.Stderr, "has left its cluster") {
		t.Errorf("a node that has left starts again: %d %s", r.Code, r.Output())
	}
	rest := []*harness.Node{}
	for _, n := range c.Nodes {
		if n != leader {
			rest = append(rest, n)
		}
	}
	clusterSays(t, rest[0], " votes alone: without it nothing can be written", ` leader `, ` follower `)
	has(t, "the status before", gone, " voter ")
	if nodes := strings.Fields(rest[1].Kubectl("get", "nodes", "-o", "name")); len(nodes) != 2 {
		t.Errorf("nodes: %v", nodes)
	}
	rest[0].Kubectl("rollout", "status", "deployment/web", "--timeout=60s")

	// It joins again, while that one leads which took it out, and leaves again.
	if err := os.Remove(filepath.Join(leader.DataDir, "left")); err != nil {
		t.Fatal(err)
	}
	leader.With("--join", c.Address(1+indexOf(c.Nodes, rest[0])), "--token", strings.TrimSpace(rest[0].Covey("token", "create")))
	leader.Start()
	rest[0].Eventually(func() error { return contain(rest[0].Covey("status"), "One of the servers that vote may be lost.") })
	has(t, "covey leave", leader.Covey("leave"), "left the cluster")
	if code := leader.Ends(); code != 3 {
		t.Errorf("covey ends with status %d after it has left again", code)
	}

	// The one that follows dies: the other one goes on.
	stays, dies := rest[0], rest[1]
	if leaderOf(stays) == 1+indexOf(c.Nodes, dies) {
		stays, dies = dies, stays
	}
	if r := stays.TryCovey("node", "remove", nameOf(c, dies)); r.Code == 0 || !strings.Contains(r.Stderr, "it is alive") {
		t.Errorf("a node that is alive is removed: %s", r.Output())
	}
	stays.Apply(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: doomed, labels: {app: doomed}}, spec: {nodeName: %s, containers: [{name: c, image: "busybox:1", command: [sleep, "1000"]}]}}`, nameOf(c, dies)))
	stays.Pod("app=doomed", harness.Ready)
	dies.Kill()
	stays.Eventually(func() error { return ready(stays, nameOf(c, dies), corev1.ConditionUnknown) })
	has(t, "covey node remove", stays.Covey("node", "remove", nameOf(c, dies)), "removed")
	if out := stays.Covey("status"); strings.Contains(out, nameOf(c, dies)) {
		t.Errorf("covey status after the removal:\n%s", out)
	}
	removedIsRefused(t, stays, dies, nameOf(c, dies))
}

// removedIsRefused shows the certificate of a node that was removed in all protocols, and then starts that node.
func removedIsRefused(t *testing.T, n, removed *harness.Node, name string) {
	t.Helper()
	own := selfSigned(t, removed)
	cert := stolenCA(t, n).certify(t, own.PrivateKey.(*ecdsa.PrivateKey), "system:node:"+name, servers)
	n.Eventually(func() error { // it has heard of it
		if answer, err := ask(t, n, own, "covey-key/1", "GET /keys HTTP/1.1\r\nHost: node\r\n\r\n"); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 410") {
			return fmt.Errorf("the removed node asks for the cluster's keys: %.40q, %w", answer, err)
		}
		return nil
	})
	for _, proto := range nodeProtocols {
		if answer, err := ask(t, n, cert, proto, "GET /ping HTTP/1.1\r\nHost: node\r\n\r\n"); err == nil {
			t.Errorf("the removed node is let in by %s: %q", proto, answer)
		}
	}
	for _, path := range []string{"/api/v1/nodes", "/v2/", "/covey/status"} {
		if code, err := get(t, n, cert, "h2", path); err != nil || code != http.StatusUnauthorized {
			t.Errorf("the removed node asks for %s: %d, %v", path, code, err)
		}
	}
	has(t, "the log", n.Log(), "it was removed from the cluster")
	if len(removed.Running()) == 0 {
		t.Error("the removed node runs no pods: nothing is seen of their end")
	}
	removed.Start()
	removed.Eventually(func() error {
		if left := len(removed.Running()) + len(removed.Shims()); left > 0 || !strings.Contains(removed.Log(), "this node was removed from the cluster") {
			return fmt.Errorf("a node that was removed has %d pods and shims when it is back", left)
		}
		return nil
	})
	for _, command := range []string{"status", "recover"} {
		has(t, "covey "+command+" on the removed node", removed.TryCovey(command).Output(), name+" was removed from the cluster, which goes on without it")
	}
	if out := n.Covey("status"); strings.Contains(out, name) {
		t.Errorf("covey status after the removed node is back:\n%s", out)
	}
	removed.Signal(syscall.SIGTERM)
	removed.Ends()
}

func onNode(n *harness.Node, node string) string {
	return n.Kubectl("get", "pods", "-o", "name", "--field-selector=spec.nodeName="+node)
}

// leaderOf is the number of the node that leads.
func leaderOf(n *harness.Node) (number int) {
	for line := range strings.Lines(n.Covey("status")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "leader" {
			_, _ = fmt.Sscanf(fields[0], "node-%d", &number)
		}
	}
	return number
}

func indexOf(nodes []*harness.Node, n *harness.Node) int {
	for i := range nodes {
		if nodes[i] == n {
			return i
		}
	}
	return -1
}

func nameOf(c *harness.Cluster, n *harness.Node) string {
	return fmt.Sprintf("node-%d", 1+indexOf(c.Nodes, n))
}
