package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestTwoServersAndAWitness loses one of two servers: with the vote of a witness, which runs no pods, the other one goes on.
func TestTwoServersAndAWitness(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 2)
	first, second := c.Nodes[0], c.Nodes[1]
	clusterSays(t, second, "node-1 votes alone: without it nothing can be written until covey promote is run on another server, which has a copy (node-2).")
	witness := c.Add("--witness", "--join", c.Address(2), "--token", strings.TrimSpace(second.Covey("token", "create")))
	witness.Start()
	second.Eventually(func() error {
		if out := second.Covey("status"); !strings.Contains(out, "One of the servers that vote may be lost.") || !regexp.MustCompile(`node-3 +witness +yes`).MatchString(out) {
			return fmt.Errorf("covey status:\n%s", out)
		}
		return nil
	})
	second.Kubectl("wait", "--for=condition=Ready", "node/node-3", "--timeout=60s")
	has(t, "kubectl get nodes", witness.Kubectl("get", "node", "node-3"), "witness")
	second.Apply(shell("web", sleeps))
	second.Kubectl("scale", "deployment/web", "--replicas=4")
	witness.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	if pods := onNode(second, "node-3"); pods != "" {
		t.Errorf("the witness runs %s", pods)
	}
	if memory, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", witness.PID())); err == nil {
		t.Logf("the witness: %s", regexp.MustCompile(`Pss: +\d+ kB`).Find(memory))
	}

	const noImages = "node node-3 is a witness, which has neither pods nor images"
	for _, args := range [][]string{{"image", "ls"}, {"registry", "ls"}} {
		if r := witness.TryCovey(args...); r.Code == 0 || !strings.Contains(r.Stderr, noImages) {
			t.Errorf("covey %v of a witness: %s", args, r.Output())
		}
	}
	if r := second.TryCovey("image", "load", "--node", "node-3", harness.Bin("hello.tar")); r.Code == 0 || !strings.Contains(r.Stderr, noImages) {
		t.Errorf("an image is loaded into a witness: %s", r.Output())
	}

	first.Kill()
	second.Kubectl("create", "configmap", "written", "--from-literal=with=a-witness", "--request-timeout=60s")
	second.Eventually(func() error {
		if out := second.Covey("status"); !regexp.MustCompile(`node-1 +voter +no {2}(?s:.*)node-2 +leader`).MatchString(out) || !strings.Contains(out, "None of the servers that vote may be lost") {
			return fmt.Errorf("covey status:\n%s", out)
		}
		return nil
	})
	if r := witness.TryCovey("promote"); r.Code == 0 || !strings.Contains(r.Stderr, "a witness votes and does not lead") {
		t.Errorf("promote a witness: %s", r.Output())
	}
	if r := second.TryCovey("leave", "--no-drain"); r.Code == 0 || !strings.Contains(r.Stderr, "the only server that is alive and may lead") {
		t.Errorf("a server leaves a witness alone: %s", r.Output())
	}
	first.Start()
	has(t, "covey leave", witness.Covey("leave", "--no-drain"), "node/node-3 left the cluster")
	if code := witness.Ends(); code != 3 {
		t.Errorf("the witness ends with status %d after it has left", code)
	}
}
