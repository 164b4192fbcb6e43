package network

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"covey.dev/covey/agent/netlist"
)

// defaultMTU is that of Ethernet, for a machine without an address that others reach it at.
const defaultMTU = 1500

// PodMTU is the size of the largest packet that pods send: what goes through all interfaces that have one of the node's
// addresses, inside the overlay. It is the same whether or not a packet takes the overlay, because the other nodes, and with
// them the way, may change while a pod runs.
func PodMTU(overlay string, networks []netip.Prefix) int {
	mtu := linkMTU(networks)
	switch overlay {
	case OverlayVXLAN:
		return mtu - vxlanOverhead
	case OverlayWireGuard:
		return mtu - wireguardOverhead
	}
	return mtu
}

// linkMTU is the smallest MTU of the interfaces that have one of these addresses.
func linkMTU(networks []netip.Prefix) int {
	least := 0
	addrs, _ := netlist.Addresses(nil, netlink.FAMILY_ALL)
	for _, a := range addrs {
		of := slices.ContainsFunc(networks, func(n netip.Prefix) bool { return !n.Addr().IsLoopback() && a.IP.Equal(n.Addr().AsSlice()) })
		if link, err := netlink.LinkByIndex(a.LinkIndex); of && err == nil && (least == 0 || link.Attrs().MTU < least) {
			least = link.Attrs().MTU
		}
	}
	if least == 0 {
		return defaultMTU
	}
	return least
}
