package e2e

import (
	"fmt"
	"strings"
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

	// The one that follows dies: the other one goes on.
	stays, dies := rest[0], rest[1]
	if leaderOf(stays) == 1+indexOf(c.Nodes, dies) {
		stays, dies = dies, stays
	}
	if r := stays.TryCovey("node", "remove", nameOf(c, dies)); r.Code == 0 || !strings.Contains(r.Stderr, "it is alive") {
		t.Errorf("a node that is alive is removed: %s", r.Output())
	}
	dies.Kill()
	stays.Eventually(func() error { return ready(stays, nameOf(c, dies), corev1.ConditionUnknown) })
	has(t, "covey node remove", stays.Covey("node", "remove", nameOf(c, dies)), "removed")
	if out := stays.Covey("status"); strings.Contains(out, nameOf(c, dies)) {
		t.Errorf("covey status after the removal:\n%s", out)
	}
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
