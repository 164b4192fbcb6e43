package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestRecoverFromALostMajority loses two of three servers at once. The third says what is the matter, goes on alone when it is told to,
// and the others copy its state when they come back, though they were the majority once.
func TestRecoverFromALostMajority(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	first, second, third := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	const stays = "      nodeSelector: {kubernetes.io/hostname: node-3}\n      tolerations: [{operator: Exists}]\n      containers:"
	third.Apply(strings.Replace(shell("web", sleeps), "      containers:", stays, 1))
	web := third.Pod("app=web", harness.Ready)
	if r := third.TryCovey("recover", "--yes"); r.Code == 0 || !strings.Contains(r.Stderr, "leads the cluster: there is nothing to recover") {
		t.Fatalf("recover with a leader: %s", r.Output())
	}
	if r := third.TryCovey("recover", "--data-dir", third.DataDir, "--yes"); r.Code == 0 || !strings.Contains(r.Stderr, "another covey is using") {
		t.Fatalf("recover the directory of a node that runs: %s", r.Output())
	}
	first.Kill()
	second.Kill()
	third.Eventually(func() error {
		r := third.TryKubectl("create", "configmap", "lost", "--request-timeout=60s")
		for _, part := range []string{"node-1 and node-2 do not answer", "1 of 3 servers that vote are there where 2 are needed", "run covey recover on node-3"} {
			if r.Code == 0 || !strings.Contains(r.Stderr, part) {
				return fmt.Errorf("a write says %q, want %q", r.Output(), part)
			}
		}
		return nil
	})
	plan := third.TryCovey("recover")
	if plan.Code == 0 || !strings.Contains(plan.Stdout, "no longer waited for: node-1, node-2.") || !strings.Contains(plan.Stderr, "covey recover --yes") {
		t.Errorf("covey recover: %s", plan.Output())
	}
	has(t, "covey recover --yes", third.Covey("recover", "--yes"), "node/node-3 is the only server that votes")
	third.Kubectl("create", "configmap", "recovered", "--request-timeout=60s")
	if now := third.Pod("app=web", harness.Ready); now.UID != web.UID {
		t.Error("the pod was replaced")
	}

	var back sync.WaitGroup
	for _, n := range []*harness.Node{first, second} {
		back.Go(n.Start)
	}
	back.Wait()
	for _, n := range []*harness.Node{first, second} {
		n.Eventually(func() error {
			if r := n.TryKubectl("get", "configmap", "recovered", "--request-timeout=5s"); r.Code != 0 {
				return fmt.Errorf("a server that is back: %s", r.Output())
			}
			return nil
		})
		if kept, _ := filepath.Glob(filepath.Join(n.DataDir, "store.replaced-*")); len(kept) != 1 {
			t.Errorf("the state that was given up is kept in %v", kept)
		}
	}
	third.Eventually(func() error {
		if out := second.Covey("status"); !strings.Contains(out, "One of the servers that vote may be lost") {
			return fmt.Errorf("covey status:\n%s", out)
		}
		return nil
	})
}

// TestPromoteTheOtherOfTwo has two servers change places, and the one that is left go on when the other dies.
func TestPromoteTheOtherOfTwo(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 2)
	first, second := c.Nodes[0], c.Nodes[1]
	has(t, "covey promote", second.Covey("promote"), "node/node-2 leads")
	first.Kubectl("create", "configmap", "one")
	first.Eventually(func() error {
		out := first.Covey("status")
		if leaderOf(first) != 2 || !strings.Contains(out, "node-1   follower") {
			return fmt.Errorf("covey status:\n%s", out)
		}
		return nil
	})
	second.Kill()
	first.Eventually(func() error {
		r := first.TryKubectl("create", "configmap", "two", "--request-timeout=60s")
		if !strings.Contains(r.Stderr, "run covey promote on node-1") {
			return fmt.Errorf("a write says %q", r.Output())
		}
		return nil
	})
	has(t, "covey promote", first.Covey("promote", "--yes"), "node/node-1 is the only server that votes")
	first.Kubectl("create", "configmap", "two")
	second.Start()
	second.Eventually(func() error {
		if r := second.TryKubectl("get", "configmap", "one", "two", "--request-timeout=5s"); r.Code != 0 {
			return fmt.Errorf("the server that is back: %s", r.Output())
		}
		return nil
	})
}
