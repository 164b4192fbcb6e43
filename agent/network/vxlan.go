package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/netlist"
)

// OverlayPort is the UDP port of the overlay, on every node.
const OverlayPort = 7444

const (
	vxlanID = 7444
	// vxlanOverhead is what VXLAN adds to a packet: Ethernet, VXLAN, UDP, and IPv6, which is the larger of the two.
	vxlanOverhead = 14 + 8 + 8 + 40
)

// ErrNoOverlay is returned for a node that could be reached through an overlay only, where there is to be none.
var ErrNoOverlay = errors.New("it shares no link with this node, and --overlay is none")

var errNoWay = errors.New("this machine has no route to any address of the node")

// tunnel is the way to a node that shares no link with this one.
type tunnel struct {
	Peer
	to netip.Addr // the address of the peer that packets are sent to
}

// tunnelTo chooses the first of the peer's addresses that this machine has a route to.
func (n *Network) tunnelTo(p Peer) (tunnel, error) {
	if n.cfg.Overlay == OverlayNone {
		return tunnel{}, ErrNoOverlay
	}
	for _, network := range p.Networks {
		if ways, err := netlink.RouteGet(network.Addr().AsSlice()); err == nil && len(ways) > 0 && ways[0].Type == unix.RTN_UNICAST {
			return tunnel{Peer: p, to: network.Addr()}, nil
		}
	}
	return tunnel{}, errNoWay
}

// overlay has the devices that these tunnels need, and no others, and returns the routes into them. A device carries one
// version of IP outside. What is inside is IPv4.
func (n *Network) overlay(own []netip.Prefix, tunnels []tunnel) ([]*netlink.Route, error) {
	var routes []*netlink.Route
	errs := []error{guard(n.table, tunnels)} // before the device is there
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		of := slices.DeleteFunc(slices.Clone(tunnels), func(t tunnel) bool { return t.to.Is4() != (family == unix.AF_INET) })
		name := vxlanName(n.cfg.InstanceID, family)
		if len(of) == 0 {
			errs = append(errs, deleteLink(name))
			continue
		}
		made, err := n.vxlan(name, source(own, family), of)
		if err != nil {
			err = fmt.Errorf("overlay device %s: %w", name, err)
		}
		routes, errs = append(routes, made...), append(errs, err)
	}
	return routes, errors.Join(errs...)
}

// source is the address that packets leave with; not valid: what the kernel chooses. IPv6 would choose an address that is used
// for a day only and that the other nodes do not know.
func source(own []netip.Prefix, family int) netip.Addr {
	for _, p := range own {
		if family == unix.AF_INET6 && p.Addr().Is6() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

func vxlanName(instanceID string, family int) string {
	if family == unix.AF_INET6 {
		return "cv6-" + instanceID
	}
	return "cv4-" + instanceID
}

// vxlan sets up the device, says where each peer is, and returns the routes. Nothing is learnt from packets: the nodes' list
// is all there is to know.
func (n *Network) vxlan(name string, src netip.Addr, tunnels []tunnel) ([]*netlink.Route, error) {
	link, err := n.ensureVXLAN(name, src)
	if err != nil {
		return nil, err
	}
	if err := forgetPeers(link, tunnels); err != nil {
		return nil, err
	}
	var routes []*netlink.Route
	var errs []error
	for _, t := range tunnels {
		at := t.entries(link.Attrs().Index)
		if err := errors.Join(netlink.NeighSet(&at[0]), netlink.NeighSet(&at[1])); err != nil {
			errs = append(errs, fmt.Errorf("forward to node %s: %w", t.Name, err))
			continue
		}
		r := n.route(t.Peer)
		r.Gw, r.LinkIndex, r.Flags = t.CIDR.Addr().AsSlice(), link.Attrs().Index, int(netlink.FLAG_ONLINK)
		routes = append(routes, r)
	}
	return routes, errors.Join(errs...)
}

// entries are the neighbour that stands for the peer, called by the first address of its CIDR, and where that one is.
func (t tunnel) entries(link int) [2]netlink.Neigh {
	mac := hardwareAddr(t.CIDR)
	return [2]netlink.Neigh{
		{LinkIndex: link, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: t.CIDR.Addr().AsSlice(), HardwareAddr: mac},
		{LinkIndex: link, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, State: netlink.NUD_PERMANENT, IP: t.to.AsSlice(), HardwareAddr: mac},
	}
}

// hardwareAddr is that of a node's end of the overlay. It follows from its CIDR, so that nobody has to be told.
func hardwareAddr(cidr netip.Prefix) net.HardwareAddr {
	a := cidr.Masked().Addr().As4()
	return net.HardwareAddr{0x0a, 0x43, a[0], a[1], a[2], a[3]} // locally administered
}

func (n *Network) ensureVXLAN(name string, src netip.Addr) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = name, n.mtu, hardwareAddr(n.pool.cidr)
	want := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: vxlanID, Port: OverlayPort}
	if src.IsValid() {
		want.SrcAddr = src.AsSlice()
	}
	link, err := netlink.LinkByName(name)
	if err == nil {
		if have, ok := link.(*netlink.Vxlan); ok && sameVXLAN(have, want) {
			return link, netlink.LinkSetUp(link)
		}
		err = deleteLink(name)
	} else if isMissing(err) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkAdd(want); err != nil {
		return nil, fmt.Errorf("make it (does the kernel have vxlan? covey check): %w", err)
	}
	if link, err = netlink.LinkByName(name); err != nil {
		return nil, err
	}
	return link, netlink.LinkSetUp(link)
}

func sameVXLAN(a, b *netlink.Vxlan) bool {
	return a.VxlanId == b.VxlanId && a.Port == b.Port && a.Learning == b.Learning && a.MTU == b.MTU &&
		a.HardwareAddr.String() == b.HardwareAddr.String() && (b.SrcAddr == nil || a.SrcAddr.Equal(b.SrcAddr))
}

// forgetPeers removes the entries of nodes that are no more or are reached otherwise.
func forgetPeers(link netlink.Link, tunnels []tunnel) error {
	keep := map[string]bool{}
	for _, t := range tunnels {
		for _, e := range t.entries(0) {
			keep[fmt.Sprint(e.Family == unix.AF_BRIDGE, e.IP, e.HardwareAddr)] = true
		}
	}
	var errs []error
	for _, family := range []int{unix.AF_INET, unix.AF_BRIDGE} {
		have, err := netlist.Neighbours(link.Attrs().Index, family)
		if err != nil {
			return fmt.Errorf("list its entries: %w", err)
		}
		for i := range have {
			e := &have[i]
			if e.State&netlink.NUD_PERMANENT == 0 || keep[fmt.Sprint(family == unix.AF_BRIDGE, e.IP, e.HardwareAddr)] {
				continue
			}
			if err := netlink.NeighDel(e); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("remove the entry of %s: %w", e.IP, err))
			}
		}
	}
	return errors.Join(errs...)
}
