package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestThreeNodesAreOneCluster asks each of three nodes for what another one runs, and then takes the first away.
func TestThreeNodesAreOneCluster(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	first, second, third := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	for _, n := range c.Nodes {
		n.Kubectl("wait", "--for=condition=Ready", "node/node-1", "node/node-2", "node/node-3", "--timeout=60s")
	}

	second.Apply(shell("web", `echo "on $(hostname)"; `+sleeps))
	second.Kubectl("scale", "deployment/web", "--replicas=3")
	third.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	pods, err := first.Pods("app=web")
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]bool{}
	for _, p := range pods {
		where[p.Spec.NodeName] = true
	}
	if len(pods) != 3 || len(where) != 3 {
		t.Fatalf("%d pods on %v, want one on each node", len(pods), where)
	}
	for i, p := range pods {
		asked := c.Nodes[i]
		asked.Eventually(func() error { return logsAre(asked, p.Name, "on "+p.Name+"\n") })
		for _, other := range pods {
			reaches(t, asked, &p, &other)
		}
	}

	clusterSays(t, third, "One of the servers that vote may be lost.", `node-1 .* yes `, `node-2 .* yes `, `node-3 .* yes `)
	first.Kill()
	second.Kubectl("create", "configmap", "written", "--from-literal=while=down", "--request-timeout=60s")
	third.Eventually(func() error { return ready(third, "node-1", corev1.ConditionUnknown) })
	clusterSays(t, second, "None of the servers that vote may be lost", `node-1 +voter +no `)
	first.Start()
	second.Eventually(func() error { return ready(second, "node-1", corev1.ConditionTrue) })
	first.Kubectl("get", "configmap", "written")
	first.Kubectl("delete", "configmap", "written")

	third.Stop()
	second.Eventually(func() error { return ready(second, "node-3", corev1.ConditionUnknown) })
	second.Kubectl("delete", "node", "node-3")
	second.Eventually(func() error {
		if out := second.Covey("status"); strings.Contains(out, "node-3") || strings.Count(out, " voter ") != 0 {
			return fmt.Errorf("want node-3 gone and one voter left:\n%s", out)
		}
		return nil
	})
	third.Purge() // what was removed is let in as a new node only
	third.Start()
	second.Eventually(func() error { return ready(second, "node-3", corev1.ConditionTrue) })
}

// clusterSays fails the test unless covey status says all of it; the lines are regular expressions.
func clusterSays(t *testing.T, n *harness.Node, says string, lines ...string) {
	t.Helper()
	out := n.Covey("status")
	for _, line := range append(lines, regexp.QuoteMeta(says)) {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("covey status does not say %q:\n%s", line, out)
		}
	}
}

func ready(n *harness.Node, name string, want corev1.ConditionStatus) error {
	r := n.TryKubectl("get", "node", name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	if r.Stdout != string(want) {
		return fmt.Errorf("node %s has Ready=%s, want %s", name, r.Output(), want)
	}
	return nil
}

// TestJoinIsRefused has nodes that may not join say why, in one line, and leave the cluster as it was. The next try from the same
// directory may be a good one, also while the cluster is not there yet.
func TestJoinIsRefused(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 1)
	n := c.Nodes[0]
	good := strings.TrimSpace(n.Covey("token", "create", "--uses", "1"))
	id, rest, _ := strings.Cut(good, ".")
	secret, ca, _ := strings.Cut(rest, ".")
	expired := strings.TrimSpace(n.Covey("token", "create", "--ttl", "1ns"))
	other := c.Add("--join", c.IP(1), "--token", good)
	refused := func(what string, says []string, args ...string) {
		t.Helper()
		r := other.TryCovey(append([]string{"start", "--data-dir", other.DataDir, "--state-dir", other.StateDir, "--node-name", "node-2"}, args...)...)
		var said []string
		for line := range strings.Lines(r.Stderr) {
			if !strings.Contains(line, "level=WARN") { // of this machine
				said = append(said, line)
			}
		}
		if r.Code != 1 || r.Stdout != "" || len(said) != 1 {
			t.Errorf("%s: ends with %d and\n%s", what, r.Code, r.Output())
		}
		has(t, what, r.Stderr, says...)
	}
	join := c.Address(1)
	refused("no token", []string{"--join: a token is needed too", "covey token create"}, "--join", join)
	refused("half a token", []string{"--token: want ID.SECRET.CA", "covey token create"}, "--join", join, "--token", good[:len(good)/2])
	refused("a URL", []string{`--join "https://` + join + `"`, "such as 192.0.2.7:7443"}, "--join", "https://"+join, "--token", good)
	refused("no cluster", []string{"--join"}, "--token", good)
	refused("a wrong secret", []string{"is unknown", "covey token create"}, "--join", join, "--token", id+"."+strings.Repeat("x", len(secret))+"."+ca)
	refused("an expired token", []string{"expired", "covey token create"}, "--join", join, "--token", expired)
	refused("another cluster's token", []string{"belongs to another cluster", "covey token create"}, "--join", join, "--token", id+"."+secret+"."+strings.Repeat("0", len(ca)))
	refused("a name that is taken", []string{`another node is called "node-1"`, "--node-name"}, "--join", join, "--token", good, "--node-name", "node-1")
	if got := n.Kubectl("get", "nodes", "-o", "name"); got != "node/node-1\n" {
		t.Errorf("nodes: %q", got)
	}

	n.Stop()
	var joining sync.WaitGroup
	joining.Go(other.Start)
	n.Eventually(func() error { return contain(other.Log(), "not in the cluster yet, trying again") })
	n.Start()
	joining.Wait()
	n.Kubectl("wait", "--for=condition=Ready", "node/node-2", "--timeout=60s")
	r := n.TryCovey("start", "--data-dir", n.Dir+"/third", "--state-dir", n.Dir+"/t", "--listen", "127.0.0.1:0", "--node-name", "node-3", "--join", join, "--token", good)
	has(t, "a token that is used up", r.Stderr, "used up", "covey token create")
}
