package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks covey's routes among all others of the machine, as ip-route(8) shows it ("proto 201").
const routeProtocol = 201

// Peer is another node, whose pods are behind its address.
type Peer struct {
	CIDR    netip.Prefix
	Address netip.Addr
}

// Route makes the pods of these nodes reachable and forgets those of all others. A node that cannot be routed to does not
// keep the rest from it.
func (n *Network) Route(peers []Peer) error {
	old, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list the routes: %w", err)
	}
	var errs []error
	wanted := map[string]bool{}
	for _, p := range peers {
		dst := &net.IPNet{IP: p.CIDR.Addr().AsSlice(), Mask: net.CIDRMask(p.CIDR.Bits(), p.CIDR.Addr().BitLen())}
		wanted[dst.String()] = true
		if err := routeVia(dst, p.Address); err != nil {
			errs = append(errs, fmt.Errorf("route %s over %s: %w", p.CIDR, p.Address, err))
		}
	}
	for i := range old {
		if old[i].Dst == nil || wanted[old[i].Dst.String()] {
			continue
		}
		if err := netlink.RouteDel(&old[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove the route to %s: %w", old[i].Dst, err))
		}
	}
	return errors.Join(errs...)
}

// deleteRoutes forgets the ways to all other nodes.
func deleteRoutes() error {
	old, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list the routes: %w", err)
	}
	var errs []error
	for i := range old {
		if err := netlink.RouteDel(&old[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove the route to %s: %w", old[i].Dst, err))
		}
	}
	return errors.Join(errs...)
}

var errNotOnLink = errors.New("it is not on a network of this machine, and there is no overlay yet")

func routeVia(dst *net.IPNet, address netip.Addr) error {
	ways, err := netlink.RouteGet(address.AsSlice())
	if err != nil {
		return err
	}
	if len(ways) == 0 || ways[0].Gw != nil {
		return errNotOnLink
	}
	return netlink.RouteReplace(&netlink.Route{
		Dst: dst, Gw: address.AsSlice(), LinkIndex: ways[0].LinkIndex, Protocol: routeProtocol,
	})
}
