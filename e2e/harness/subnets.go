package harness

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
)

// layout is how the nodes of a cluster are connected.
type layout struct {
	address func(i int) netip.Prefix // of node-i
	// plug connects node-i with the others.
	plug func(c *Cluster, n *Node, i int)
}

// sameNetwork has all nodes on one switch, without a way to anywhere else.
var sameNetwork = layout{address: numbered("10.99.0.%d/24"), plug: plugSwitch}

// sameNetworkIPv6 is that without IPv4.
var sameNetworkIPv6 = layout{address: numbered("fd99::%d/64"), plug: plugSwitch}

// ownNetworks has each node in a network of its own, behind a router that passes packets between them.
var ownNetworks = layout{address: numbered("10.99.%d.1/24"), plug: plugRouter}

// ownNetworksIPv6 is that without IPv4.
var ownNetworksIPv6 = layout{address: numbered("fd99:0:0:%d::1/64"), plug: plugRouter}

func numbered(format string) func(int) netip.Prefix {
	return func(i int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf(format, i)) }
}

// NewRouted makes a cluster whose nodes share no network: the addresses are 10.99.N.1.
func NewRouted(t T) *Cluster {
	t.Helper()
	return newCluster(t, ownNetworks)
}

// NewIPv6 makes a cluster whose nodes have IPv6 addresses only.
func NewIPv6(t T) *Cluster {
	t.Helper()
	return newCluster(t, sameNetworkIPv6)
}

// NewRoutedIPv6 makes a cluster whose nodes share no network and have IPv6 addresses only.
func NewRoutedIPv6(t T) *Cluster {
	t.Helper()
	return newCluster(t, ownNetworksIPv6)
}

func newCluster(t T, lay layout) *Cluster {
	t.Helper()
	return &Cluster{t: t, Switch: NewSwitch(t), lay: lay}
}

func plugSwitch(c *Cluster, n *Node, i int) {
	c.t.Helper()
	if err := c.Plug(n.net, uplink); err != nil {
		c.t.Fatal(err)
	}
	n.ip("link", "set", uplink, "up")
	n.AddAddress(c.lay.address(i).String())
}

// plugRouter makes a cable between the node and the router.
func plugRouter(c *Cluster, n *Node, i int) {
	c.t.Helper()
	if c.wire == nil {
		c.wire = newRouter(c.t)
	}
	holder := exec.Command("sleep", "60") // ip names a namespace by a process in it
	if err := n.net.start(holder); err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	}()
	c.ip(c.wire, "link", "add", portName(i), "type", "veth", "peer", "name", uplink, "netns", fmt.Sprint(holder.Process.Pid))
	c.ip(c.wire, "link", "set", portName(i), "up")
	n.ip("link", "set", uplink, "up")
	c.route(n, i, c.lay.address(i))
}

func portName(i int) string { return fmt.Sprint("port", i) }

func newRouter(t T) *network {
	t.Helper()
	router := newNetwork(t)
	err := router.enter(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600),
			os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0o600),
		)
	})
	if err != nil {
		t.Fatalf("make a router: %v", err)
	}
	return router
}

// route gives node-i an address, and the router at its port the next one, over which the node reaches all others.
func (c *Cluster) route(n *Node, i int, address netip.Prefix) {
	c.t.Helper()
	router := netip.PrefixFrom(address.Addr().Next(), address.Bits())
	c.ip(c.wire, "addr", "add", router.String(), "dev", portName(i), "nodad")
	n.AddAddress(address.String())
	n.ip("route", "replace", "default", "via", router.Addr().String(), "dev", uplink)
}

// Readdress moves node-i into another network: its addresses are gone, this is the new one.
func (c *Cluster) Readdress(i int, address string) {
	c.t.Helper()
	n := c.Nodes[i-1]
	n.ip("addr", "flush", "dev", uplink, "scope", "global")
	if c.wire == nil {
		n.AddAddress(address)
		return
	}
	c.ip(c.wire, "addr", "flush", "dev", portName(i))
	c.route(n, i, netip.MustParsePrefix(address))
}

// AddAddress gives the node another address, with the size of its network.
func (n *Node) AddAddress(address string) {
	n.t.Helper()
	n.ip("addr", "add", address, "dev", uplink, "nodad")
}

// ip runs ip(8) in the node's network.
func (n *Node) ip(args ...string) string {
	n.t.Helper()
	out, err := n.net.output(exec.Command("ip", args...))
	if err != nil {
		n.t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
	return string(out)
}
