package e2e

import (
	"fmt"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestManyPods has a few dozen come and go at once: each with an address of its own, and none stuck.
func TestManyPods(t *testing.T) {
	t.Parallel()
	const many = 30
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	for range 2 {
		n.Kubectl("scale", "deployment/web", fmt.Sprint("--replicas=", many))
		n.Kubectl("rollout", "status", "deployment/web", "--timeout=90s")
		pods, err := n.Pods("app=web")
		if err != nil || len(pods) != many {
			t.Fatalf("%d pods (%v), want %d", len(pods), err, many)
		}
		owner := map[string]string{}
		for _, p := range pods {
			ip := p.Status.PodIP
			if other := owner[ip]; other != "" || ip == "" {
				t.Errorf("%s has the address %q, and so has %q", p.Name, ip, other)
			}
			owner[ip] = p.Name
		}
		n.Kubectl("scale", "deployment/web", "--replicas=0")
		n.Kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=90s")
	}
}
