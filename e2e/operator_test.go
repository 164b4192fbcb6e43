package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// What one who runs a node does by hand: looks in, measures, and takes the node out of service.
func TestKubectlRunTopAndDrain(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	r := n.Pipe("echo hello; exit 3\n", "kubectl", "run", "shell", "--image=busybox:1", "--restart=Never", "-i", "--rm", "--", "sh")
	if r.Code != 3 || !strings.Contains(r.Stdout, "hello") {
		t.Errorf("kubectl run -i: exit code %d, %s", r.Code, r.Output())
	}
	n.Apply(shell("web", sleeps))
	name := n.Pod("app=web", harness.Ready).Name
	n.Eventually(func() error {
		top := n.Kubectl("top", "pod", "--containers", "--no-headers")
		if !regexp.MustCompile(name + ` +\S+ +\d+m +\d+Mi`).MatchString(top) {
			return fmt.Errorf("kubectl top pod: %s", top)
		}
		return nil
	})
	has(t, "kubectl top node", n.Kubectl("top", "node"), "CPU(cores)", "%")
	n.Apply(`
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}`)
	node := strings.TrimSpace(n.Kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"))
	n.Eventually(func() error {
		if n.Kubectl("get", "pdb", "web", "-o", "jsonpath={.status.currentHealthy}") != "1" {
			return fmt.Errorf("the budget has not seen the pod")
		}
		return nil
	})
	refused := n.TryKubectl("drain", node, "--force", "--timeout=2s")
	if refused.Code == 0 || !strings.Contains(refused.Output(), "Cannot evict pod as it would violate the pod's disruption budget.") {
		t.Errorf("a drain against the budget: exit code %d, %s", refused.Code, refused.Output())
	}
	n.Pod("app=web", harness.Ready)
	n.Kubectl("delete", "pdb", "web")
	has(t, "kubectl drain", n.Kubectl("drain", node, "--force", "--timeout=60s"), "evicted", "drained")
	n.Kubectl("uncordon", node)
	n.Pod("app=web", harness.Ready)
}
