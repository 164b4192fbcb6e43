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

// routeProtocol marks covey's routes among all others of the machine, as ip-route(8) shows it ("proto 201").
const routeProtocol = 201

// Peer is another node, whose pods are behind it.
type Peer struct {
	Name     string
	CIDR     netip.Prefix
	Networks []netip.Prefix // its addresses, the best first, each with the size of its network
	MTU      int            // of its pods; 0: not known
	Key      string         // of WireGuard, if that is its overlay
	Boot     string         // another one after each boot of it
}

// Route makes the pods of these nodes reachable and forgets those of all others: a node that shares a link with one of own,
// which are this node's addresses, by a route over it, the others through the overlay. A node that cannot be reached does not
// keep the rest from it.
func (n *Network) Route(own []netip.Prefix, peers []Peer) error {
	n.routing.Lock()
	defer n.routing.Unlock()
	peers, errs := routable(own, peers)
	if n.cfg.Overlay == OverlayWireGuard {
		routes, err := n.encrypted(peers)
		_, other := n.overlay(own, nil) // of an earlier run
		return errors.Join(append(errs, err, other, replaceRoutes(routes))...)
	}
	if err := deleteLink(wireguardName(n.cfg.InstanceID)); err != nil {
		return err
	}
	var far []tunnel
	var routes []*netlink.Route
	for _, p := range peers {
		if p.Key != "" {
			errs = append(errs, fmt.Errorf("pods of node %s: %w", p.Name, errEncrypts))
			continue
		}
		if r, ok := n.direct(own, p); ok {
			routes = append(routes, r)
			continue
		}
		t, err := n.tunnelTo(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("pods of node %s: %w", p.Name, err))
			continue
		}
		far = append(far, t)
	}
	through, err := n.overlay(own, far)
	errs = append(errs, err)
	return errors.Join(append(errs, replaceRoutes(append(routes, through...)))...)
}

// routable leaves those out whose pods nobody may look for where they say: outside the cluster's range, or where this machine is.
func routable(own []netip.Prefix, peers []Peer) (good []Peer, errs []error) {
	for _, p := range peers {
		here := slices.ContainsFunc(own, func(my netip.Prefix) bool { return p.CIDR.Contains(my.Addr()) })
		if here || !clusterCIDR.Contains(p.CIDR.Addr()) || p.CIDR.Bits() < clusterCIDR.Bits() {
			errs = append(errs, fmt.Errorf("pods of node %s: no way is set to %s, which has to be a part of %s without an address of this machine", p.Name, p.CIDR, clusterCIDR))
			continue
		}
		good = append(good, p)
	}
	return good, errs
}

// direct is the route to the pods of a node on a link of this machine.
func (n *Network) direct(own []netip.Prefix, p Peer) (*netlink.Route, bool) {
	addr, ok := sharedLink(own, p.Networks)
	if !ok {
		return nil, false
	}
	ways, err := netlink.RouteGet(addr.AsSlice())
	if err != nil || len(ways) == 0 || ways[0].Gw != nil {
		return nil, false
	}
	r := n.route(p)
	r.LinkIndex = ways[0].LinkIndex
	if addr.Is4() {
		r.Gw = addr.AsSlice()
	} else {
		r.Via = &netlink.Via{AddrFamily: unix.AF_INET6, Addr: addr.AsSlice()}
	}
	return r, true
}

// route is what all ways to the pods of a node have in common. The pods see the machine by the first address of its CIDR,
// which the node that they are on routes back in the same way. Packets may have the size that both ends take.
func (n *Network) route(p Peer) *netlink.Route {
	r := &netlink.Route{Dst: ipNet(p.CIDR), Src: n.pool.gateway().AsSlice(), Protocol: routeProtocol}
	if p.MTU > 0 && p.MTU < n.mtu {
		r.MTU = p.MTU
	}
	return r
}

// sharedLink finds the address of a peer on a link that both are on. Both must think so, or one would answer through the
// overlay what the other sends without: what comes in where no answer would leave is dropped by many a machine.
func sharedLink(own, theirs []netip.Prefix) (netip.Addr, bool) {
	for _, their := range theirs {
		for _, my := range own {
			if my.Contains(their.Addr()) && their.Contains(my.Addr()) && my.Addr() != their.Addr() && !their.Addr().IsLoopback() {
				return their.Addr(), true
			}
		}
	}
	return netip.Addr{}, false
}

// replaceRoutes has exactly these of covey's routes.
func replaceRoutes(routes []*netlink.Route) error {
	old, err := ownRoutes()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range routes {
		if err := netlink.RouteReplace(r); err != nil {
			errs = append(errs, fmt.Errorf("route to %s: %w", r.Dst, err))
		}
	}
	stale := slices.DeleteFunc(old, func(o netlink.Route) bool {
		return o.Dst == nil || slices.ContainsFunc(routes, func(r *netlink.Route) bool { return r.Dst.String() == o.Dst.String() })
	})
	return errors.Join(append(errs, removeRoutes(stale))...)
}

// deleteRoutes forgets the ways to all other nodes.
func deleteRoutes() error {
	old, err := ownRoutes()
	if err != nil {
		return err
	}
	return removeRoutes(old)
}

func ownRoutes() ([]netlink.Route, error) {
	routes, err := netlist.RoutesLike(&netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	return routes, nil
}

func removeRoutes(routes []netlink.Route) error {
	var errs []error
	for i := range routes {
		if err := netlink.RouteDel(&routes[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove the route to %s: %w", routes[i].Dst, err))
		}
	}
	return errors.Join(errs...)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
