package e2e

import (
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestWorkersRunPods has two workers of one server run what it places on them.
func TestWorkersRunPods(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 1)
	c.AddWorkers(2)
	server := c.Nodes[0]
	server.Kubectl("cordon", "node-1")
	server.Apply(shell("web", `echo "on $(hostname)"; `+sleeps))
	server.Kubectl("scale", "deployment/web", "--replicas=2")
	server.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	pods, err := server.Pods("app=web")
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]bool{}
	for _, p := range pods {
		where[p.Spec.NodeName] = true
	}
	if len(pods) != 2 || !where["node-2"] || !where["node-3"] {
		t.Fatalf("%d pods on %v, want one on each worker", len(pods), where)
	}
	for _, p := range pods {
		if got := server.Kubectl("logs", p.Name); got != "on "+p.Name+"\n" {
			t.Errorf("logs of %s: %q", p.Name, got)
		}
		for _, other := range pods {
			server.Kubectl("exec", p.Name, "--", "ping", "-c", "1", "-W", "5", other.Status.PodIP)
		}
	}
}
