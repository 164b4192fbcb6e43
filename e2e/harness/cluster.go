package harness

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// Cluster is several nodes on one switch. Each has its own network namespace, directories and containers.
type Cluster struct {
	Nodes []*Node // node-1 began the cluster
	*Switch
	// Program is the covey that the nodes run which are added from now on; empty is the one that was built.
	Program string

	t    T
	lay  layout
	wire *network // the router between nodes that share no network; nil where they do
	gone bool     // cleaned up
}

// uplink is a node's interface on the switch.
const uplink = "eth0"

// StartCluster starts a cluster of so many nodes, all of them ready, with the test's images on the first: the others get them from there.
func StartCluster(t T, count int) *Cluster {
	t.Helper()
	return NewCluster(t).StartNodes(count)
}

// StartNodes adds and starts so many nodes, all of them ready, with the test's images on the first. args are added to covey start.
func (c *Cluster) StartNodes(count int, args ...string) *Cluster {
	t := c.t
	t.Helper()
	c.Add(args...).Start()
	token := strings.TrimSpace(c.Nodes[0].Covey("token", "create"))
	var starting sync.WaitGroup
	for range count - 1 {
		n := c.Add(append([]string{"--join", c.Address(1), "--token", token}, args...)...)
		starting.Go(func() {
			if err := n.start(); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, n := range c.Nodes {
		n.connect()
	}
	c.Nodes[0].loadImages("busybox.tar")
	return c
}

// AddWorkers starts so many workers, all of them ready, with the test's images on each.
func (c *Cluster) AddWorkers(count int) {
	c.t.Helper()
	token := strings.TrimSpace(c.Nodes[0].Covey("token", "create", "--worker"))
	var starting sync.WaitGroup
	var workers []*Node
	for range count {
		n := c.Add("--worker", "--join", c.Address(1), "--token", token)
		n.server = c.Nodes[0]
		workers = append(workers, n)
		starting.Go(func() {
			if err := n.start(); err != nil {
				c.t.Error(err)
			}
		})
	}
	starting.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
	for _, n := range workers {
		n.connect()
		c.Nodes[0].Covey("image", "load", "--node", n.name, Bin("busybox.tar"))
	}
}

// NewCluster makes the switch; Add puts nodes on it.
func NewCluster(t T) *Cluster {
	t.Helper()
	return newCluster(t, sameNetwork)
}

// Add makes the next node, called node-N, without starting it.
func (c *Cluster) Add(args ...string) *Node {
	c.t.Helper()
	i := len(c.Nodes) + 1
	n := New(c.t, append([]string{"--listen", "0.0.0.0:7443", "--node-name", fmt.Sprintf("node-%d", i)}, args...)...)
	n.name, n.member, n.Program = fmt.Sprintf("node-%d", i), true, c.Program
	c.t.Cleanup(c.cleanUp) // runs before each node's own, all nodes being there, and does nothing after the first time
	c.lay.plug(c, n, i)
	c.Nodes = append(c.Nodes, n)
	return n
}

// RestartAll kills all nodes at once with kill -9, and starts them again.
func (c *Cluster) RestartAll() {
	c.t.Helper()
	each(c.Nodes, func(n *Node) {
		if err := n.end(syscall.SIGKILL); err != nil && !killed(err) {
			c.t.Errorf("kill -9 covey: %v", err)
		}
	})
	each(c.Nodes, func(n *Node) {
		if err := n.start(); err != nil {
			c.t.Error(err)
		}
	})
}

// each does something with all nodes at a time.
func each(nodes []*Node, do func(*Node)) {
	var doing sync.WaitGroup
	for _, n := range nodes {
		doing.Go(func() { do(n) })
	}
	doing.Wait()
}

// Address is where the others reach node-i.
func (c *Cluster) Address(i int) string {
	return netip.AddrPortFrom(c.lay.address(i).Addr(), 7443).String()
}

// IP is that address alone.
func (c *Cluster) IP(i int) string { return c.lay.address(i).Addr().String() }

func (c *Cluster) ip(where *network, args ...string) {
	c.t.Helper()
	if out, err := where.output(exec.Command("ip", args...)); err != nil {
		c.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// cleanUp deletes what the cluster runs while all its nodes are there, then stops them.
func (c *Cluster) cleanUp() {
	if c.gone {
		return
	}
	c.gone = true
	var running sync.WaitGroup
	for _, n := range c.Nodes {
		running.Go(func() {
			if n.PID() == 0 && !n.ended {
				if err := n.start(); err != nil {
					c.t.Errorf("start covey again to delete what it runs: %v", err)
				}
			}
		})
	}
	running.Wait()
	for _, n := range c.Nodes {
		if !n.ended {
			n.deleteWorkload()
			break
		}
	}
	for _, n := range c.Nodes {
		n.settled()
		n.Stop()
	}
}
