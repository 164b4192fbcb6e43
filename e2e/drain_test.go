package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

// TestDrainsKeepTheBudget drains two of three nodes at once, one with kubectl and one with covey: of the pods, which take a while to be
// ready, as many stay ready as their PodDisruptionBudget wants, and both drains come to their end.
func TestDrainsKeepTheBudget(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	first, second, third := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	const pods, least = 4, 3
	first.Apply(strings.Replace(replicas("web", pods), "command:", `readinessProbe: {exec: {command: ["true"]}, initialDelaySeconds: 1, periodSeconds: 1, timeoutSeconds: 30}, command:`, 1))
	first.Apply(strings.Replace(budget, "minAvailable: 1", fmt.Sprint("minAvailable: ", least), 1))
	readyOn(first, "web", "", pods)
	first.Eventually(func() error {
		if got := first.Kubectl("get", "pdb", "web", "-o", "jsonpath={.status.disruptionsAllowed}"); got != fmt.Sprint(pods-least) {
			return fmt.Errorf("%s disruptions are allowed, want %d", got, pods-least)
		}
		return nil
	})

	var draining sync.WaitGroup
	var outputs [2]harness.Result
	draining.Go(func() { outputs[0] = third.TryKubectl("drain", "node-2", "--timeout=110s") })
	draining.Go(func() { outputs[1] = second.TryCovey("drain", "node-3", "--timeout=110s") })
	drained := make(chan struct{})
	go func() { draining.Wait(); close(drained) }()
	for looks, done := 0, false; !done; looks++ {
		select {
		case <-drained:
			done = true
			t.Logf("looked at the pods %d times meanwhile", looks)
		case <-time.After(50 * time.Millisecond):
		}
		all, err := first.Pods("app=web")
		if err != nil {
			t.Fatal(err)
		}
		ready := 0
		for _, p := range all {
			if harness.Ready(&p) == nil && p.DeletionTimestamp == nil {
				ready++
			}
		}
		if ready < least {
			t.Errorf("%d pods are ready while nodes are drained, want %d", ready, least)
		}
	}
	for _, r := range outputs {
		if r.Code != 0 || !strings.Contains(r.Stdout, "drained") {
			t.Errorf("a drain ended with %d: %s", r.Code, r.Output())
		}
	}
	if left := onNode(first, "node-2") + onNode(first, "node-3"); left != "" {
		t.Errorf("drained nodes run %s", left)
	}
	readyOn(first, "web", "", pods)
}
