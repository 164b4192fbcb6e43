package network

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// flows are UDP flows that the kernel tracks, by where they are sent to and who answers: the two differ in a flow that is
// handed on.
//
// The rules see only the first packet of a flow, and each packet makes the flow last. A sender that never pauses, such as of
// logs, would go on to reach what was there when it began, so flows that the rules would send elsewhere now are forgotten.
type flows func(to, answers netip.AddrPort) bool

// MatchConntrackFlow is what netlink asks.
func (is flows) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	return f.Forward.Protocol == unix.IPPROTO_UDP && is(addrPort(f.Forward.DstIP, f.Forward.DstPort), addrPort(f.Reverse.SrcIP, f.Reverse.SrcPort))
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), port)
}

// forget has the next packet of each such flow be the first one. That it fails is no reason to have no pod: there are kernels
// whose flows cannot be listed, and all senders that pause reach the pod nevertheless.
func (is flows) forget() {
	_, _ = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, is)
}

// handedTo are the flows that are handed on to a pod.
func handedTo(pod netip.Addr) flows {
	return func(to, answers netip.AddrPort) bool { return answers.Addr() == pod && to != answers }
}

// astray are the flows to published ports, at an address of the machine, that do not reach the pod. Those that do stay, as when
// covey starts again: what the pod sends belongs to them too.
func astray(pod netip.Addr, ports []Port, mine func(netip.Addr) bool) flows {
	return func(to, answers netip.AddrPort) bool {
		return slices.ContainsFunc(ports, func(p Port) bool {
			return p.Protocol == "UDP" && to.Port() == p.HostPort && answers != netip.AddrPortFrom(pod, p.Port) &&
				(p.HostIP == to.Addr() || !p.HostIP.IsValid() && mine(to.Addr()))
		})
	}
}

// machine tells the machine's own addresses, as the rules do.
func machine() func(netip.Addr) bool {
	addrs, _ := net.InterfaceAddrs()
	return func(a netip.Addr) bool {
		return a.IsLoopback() || slices.ContainsFunc(addrs, func(has net.Addr) bool {
			n, ok := has.(*net.IPNet)
			return ok && n.IP.Equal(a.AsSlice())
		})
	}
}
