package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestPodsReachEachOtherAcrossNetworks has nodes behind a router: what pods send to each other goes through the overlay, whole
// packets too, and the pods see each other's addresses. It lasts over a restart, and goes with the node at the other end.
func TestPodsReachEachOtherAcrossNetworks(t *testing.T) {
	t.Parallel()
	c := harness.NewRouted(t).StartNodes(2)
	first, second := c.Nodes[0], c.Nodes[1]
	pods := podOnEach(t, c)
	talk(t, c, pods)
	if got := first.Overlays(); len(got) != 1 {
		t.Errorf("overlay devices: %v, want one", got)
	}

	first.Kill()
	first.Start()
	talk(t, c, pods)

	second.Kubectl("delete", "pod", pods[1].Name)
	second.Stop()
	first.Eventually(func() error { return ready(first, "node-2", corev1.ConditionUnknown) })
	first.Kubectl("delete", "node", "node-2")
	first.Eventually(func() error {
		if got := first.Overlays(); len(got) > 0 {
			return fmt.Errorf("without another node there are overlay devices: %v", got)
		}
		return nil
	})
	second.Purge()
	second.Start()
}

// podOnEach runs a pod on each node and returns them in the order of the nodes.
func podOnEach(t *testing.T, c *harness.Cluster) []*corev1.Pod {
	t.Helper()
	n := c.Nodes[0]
	var pods []*corev1.Pod
	for i := range c.Nodes {
		name := fmt.Sprintf("on-%d", i+1)
		n.Apply(fmt.Sprintf(pinned, name, fmt.Sprintf("node-%d", i+1), sleeps))
	}
	for i := range c.Nodes {
		pods = append(pods, n.Pod(fmt.Sprintf("app=on-%d", i+1), harness.Ready))
	}
	return pods
}

// pinned is a pod that stays on its node, also while that is away.
const pinned = `
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, labels: {app: %[1]s}}
spec:
  nodeName: %[2]s
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers:
  - {name: c, image: "busybox:1", command: [sh, -c, %[3]q]}
`

// talk has each pod reach each other one.
func talk(t *testing.T, c *harness.Cluster, pods []*corev1.Pod) {
	t.Helper()
	for i, from := range pods {
		for j, to := range pods {
			if i == j {
				continue
			}
			reaches(t, c.Nodes[i], from, to)
			c.Nodes[i].Eventually(func() error { return c.FullPacket(from, to) })
		}
	}
}

// reaches waits until a pod has an answer to a ping of another one.
func reaches(t *testing.T, n *harness.Node, from, to *corev1.Pod) {
	t.Helper()
	executes(t, n, from.Name, "ping", "-c", "1", "-W", "5", to.Status.PodIP)
}

// executes waits until a command in a pod succeeds.
func executes(t *testing.T, n *harness.Node, pod string, command ...string) {
	t.Helper()
	n.Eventually(func() error {
		if r := n.TryKubectl(append([]string{"exec", pod, "--"}, command...)...); r.Code != 0 {
			return fmt.Errorf("%v in %s: %s", command, pod, r.Output())
		}
		return nil
	})
}

// TestAddressChanges has a node get another address while it runs, and one while it is off: the others find it there, its pods are
// reached, and nothing has to be told to anybody.
func TestAddressChanges(t *testing.T) {
	t.Parallel()
	c := harness.NewRouted(t).StartNodes(3)
	first, second, third := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	pods := podOnEach(t, c)
	talk(t, c, pods)

	c.Readdress(2, "10.98.2.1/24")
	converged(t, c, pods, "10.99.1.1", "10.98.2.1", "10.99.3.1")

	third.Kill()
	second.Eventually(func() error { return ready(second, "node-3", corev1.ConditionUnknown) })
	c.Readdress(3, "10.98.3.1/24")
	third.Start()
	converged(t, c, pods, "10.99.1.1", "10.98.2.1", "10.98.3.1")

	// The one that began the cluster, and whose address the others were told to join at.
	c.Readdress(1, "10.98.1.1/24")
	converged(t, c, pods, "10.98.1.1", "10.98.2.1", "10.98.3.1")
	first.Kubectl("get", "nodes")
}

// converged waits until all nodes are at these addresses, ready, and reach each other's pods; each answers for all.
func converged(t *testing.T, c *harness.Cluster, pods []*corev1.Pod, addresses ...string) {
	t.Helper()
	for _, n := range c.Nodes {
		n.Eventually(func() error {
			for i, address := range addresses {
				name := fmt.Sprintf("node-%d", i+1)
				if err := ready(n, name, corev1.ConditionTrue); err != nil {
					return err
				}
				r := n.TryKubectl("get", "node", name, "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`)
				if r.Stdout != address {
					return fmt.Errorf("node %s is at %q, want %s", name, r.Output(), address)
				}
			}
			return nil
		})
		for i, pod := range pods {
			if n != c.Nodes[i] {
				executes(t, n, pod.Name, "true")
			}
		}
	}
	talk(t, c, pods)
}

// TestAllAddressesChange hands all nodes of a network addresses of another range, at once: while they run, and while they are off. No
// node is where another one knew it, and they find each other all the same, a worker too.
func TestAllAddressesChange(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 2)
	c.AddWorkers(1)
	pods := podOnEach(t, c)
	converged(t, c, pods, "10.99.0.1", "10.99.0.2", "10.99.0.3")
	readdressAll(c, "10.98.7.%d/24")
	converged(t, c, pods, "10.98.7.1", "10.98.7.2", "10.98.7.3")
	for _, n := range c.Nodes {
		n.Kill()
	}
	readdressAll(c, "10.97.3.%d/24")
	c.RestartAll()
	converged(t, c, pods, "10.97.3.1", "10.97.3.2", "10.97.3.3")
}

func readdressAll(c *harness.Cluster, format string) {
	for i := range c.Nodes {
		c.Readdress(i+1, fmt.Sprintf(format, i+1))
	}
}

// TestIPv6 has nodes with IPv6 addresses only, on one network and behind a router. Their pods have IPv4 addresses all the same.
func TestIPv6(t *testing.T) {
	t.Parallel()
	for name, cluster := range map[string]func(harness.T) *harness.Cluster{"one network": harness.NewIPv6, "behind a router": harness.NewRoutedIPv6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster(t).StartNodes(2, "--listen", "[::]:7443")
			pods := podOnEach(t, c)
			converged(t, c, pods, c.IP(1), c.IP(2))
			clusterSays(t, c.Nodes[1], c.Address(1), regexp.QuoteMeta(c.Address(2)))
			if name == "one network" {
				readdressAll(c, "fd98::7:%d/64")
				converged(t, c, pods, "fd98::7:1", "fd98::7:2")
			}
		})
	}
}

// TestWireGuard has nodes encrypt what their pods send to each other, on a shared network too: the kernel does it, or covey where
// the kernel cannot.
func TestWireGuard(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t).StartNodes(2, "--overlay", "wireguard")
	pods := podOnEach(t, c)
	talk(t, c, pods)
	for i, n := range c.Nodes {
		if way := n.WayTo(pods[1-i].Status.PodIP); !strings.Contains(way, " dev cvw-") {
			t.Errorf("from node-%d to a pod of the other: %s, want WireGuard's interface", i+1, way)
		}
	}
	c.Nodes[1].Kill()
	c.Nodes[1].Start()
	talk(t, c, pods)
}
