package network

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"covey.dev/covey/agent/netlist"
)

// clusterCIDR is what pod CIDRs are taken from, a /24 each or more.
var clusterCIDR = netip.MustParsePrefix("10.42.0.0/16")

// smallest is the size of the smallest pod CIDR.
const smallest = 24

// Room is how many pods can have an address of a pod CIDR: not the network's own, the gateway's and the broadcast address.
func Room(cidr netip.Prefix) int { return 1<<(cidr.Addr().BitLen()-cidr.Bits()) - 3 }

// ChooseCIDR finds a part of 10.42.0.0/16 that no address and no route of this machine touches: a /24, or the smallest one
// that has twice as many addresses as there are to be pods, because those that end keep theirs for a while.
func ChooseCIDR(pods int) (netip.Prefix, error) {
	used, err := inUse()
	if err != nil {
		return netip.Prefix{}, err
	}
	bits := bitsFor(pods)
	base := clusterCIDR.Addr().As4()
	for i := 0; i < 256; i += 1 << (smallest - bits) {
		base[2] = byte(i)
		cidr := netip.PrefixFrom(netip.AddrFrom4(base), bits)
		if !overlaps(used, cidr) {
			return cidr, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("every /%d of %s is in use by a route or address of this machine", bits, clusterCIDR)
}

// CheckCIDR says what is wrong with a pod CIDR that no ChooseCIDR for that many pods, or fewer, has chosen.
func CheckCIDR(cidr netip.Prefix, pods int) error {
	least := bitsFor(pods)
	if cidr != cidr.Masked() || !clusterCIDR.Contains(cidr.Addr()) || cidr.Bits() < least || cidr.Bits() > smallest {
		return fmt.Errorf("%s: want a network of %s, of the size /%d to /%d", cidr, clusterCIDR, least, smallest)
	}
	return nil
}

func bitsFor(pods int) int {
	bits := smallest
	for bits > clusterCIDR.Bits() && Room(netip.PrefixFrom(clusterCIDR.Addr(), bits)) < 2*pods {
		bits--
	}
	return bits
}

func inUse() ([]netip.Prefix, error) {
	routes, err := netlist.Routes(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	addrs, err := netlist.Addresses(nil, netlink.FAMILY_V4)
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
