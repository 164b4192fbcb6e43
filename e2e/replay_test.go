package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestRecordedGossipIsWorthNothing sends the gossip of a node's life again when it is dead, and that of its death when it lives.
func TestRecordedGossipIsWorthNothing(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t)
	c.Add().Start()
	first := c.Nodes[0]
	token := strings.TrimSpace(first.Covey("token", "create"))
	life := c.Record()
	second, third := c.Add("--join", c.Address(1), "--token", token), c.Add("--join", c.Address(1), "--token", token)
	second.Start()
	third.Start()
	first.Eventually(func() error { return ready(first, "node-3", corev1.ConditionTrue) })
	death := c.Record()
	third.Kill()
	first.Eventually(func() error { return ready(first, "node-3", corev1.ConditionUnknown) })

	c.StopRecording()
	replay(t, c, first, life)
	if err := ready(first, "node-3", corev1.ConditionUnknown); err != nil {
		t.Errorf("what a dead node once said was sent again: %v", err)
	}
	third.Start()
	first.Eventually(func() error { return ready(first, "node-3", corev1.ConditionTrue) })
	before := transitions(first)
	replay(t, c, first, death)
	if after := transitions(first); after != before {
		t.Errorf("that a node had died was said again: the conditions changed from %s to %s", before, after)
	}
}

// replay sends the recording several times, with a write between, so that what it changes would be seen.
func replay(t *testing.T, c *harness.Cluster, n *harness.Node, r *harness.Recording) {
	t.Helper()
	const times = 5
	for i := range times {
		if c.Replay(r) == 0 {
			t.Fatal("nothing was recorded")
		}
		n.Kubectl("create", "configmap", fmt.Sprintf("between-%d", i))
		n.Kubectl("delete", "configmap", fmt.Sprintf("between-%d", i))
	}
}

// transitions says when each node last became ready or not.
func transitions(n *harness.Node) string {
	return n.Kubectl("get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].lastTransitionTime} {end}`)
}
