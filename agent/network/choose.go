package network

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// defaultMTU is used on a machine without a default route.
const defaultMTU = 1500

// clusterCIDR is what pod CIDRs are taken from, a /24 each.
var clusterCIDR = netip.MustParsePrefix("10.42.0.0/16")

// ChooseCIDR finds a /24 of 10.42.0.0/16 that no address and no route of this machine touches.
func ChooseCIDR() (netip.Prefix, error) {
	used, err := inUse()
	if err != nil {
		return netip.Prefix{}, err
	}
	base := clusterCIDR.Addr().As4()
	for i := range 256 {
		base[2] = byte(i)
		cidr := netip.PrefixFrom(netip.AddrFrom4(base), 24)
		if !overlaps(used, cidr) {
			return cidr, nil
		}
	}
	return netip.Prefix{}, errors.New("every /24 of 10.42.0.0/16 is in use by a route or address of this machine")
}

func inUse() ([]netip.Prefix, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	var used []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if ip, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			ones, _ := r.Dst.Mask.Size()
			used = append(used, netip.PrefixFrom(ip, ones))
		}
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok {
			used = append(used, netip.PrefixFrom(ip, 32))
		}
	}
	return used, nil
}

// overlaps leaves the default route out, which overlaps everything.
func overlaps(used []netip.Prefix, cidr netip.Prefix) bool {
	for _, u := range used {
		if u.Bits() > 0 && u.Overlaps(cidr) {
			return true
		}
	}
	return false
}

// uplinkMTU is the MTU of the interface of the default route.
func uplinkMTU() int {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return defaultMTU
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.IP != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			return link.Attrs().MTU
		}
	}
	return defaultMTU
}
