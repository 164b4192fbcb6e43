package address

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/netlist"
)

// iface is an interface with its addresses that last.
type iface struct {
	name     string
	up       bool
	shared   bool // many machines may be on it, and hear what is sent to all
	loopback bool
	bridge   bool
	ports    []string // the kinds of interfaces that are plugged into a bridge
	addrs    []netip.Prefix
}

// inner says that nobody outside the machine is on it: a bridge for containers, covey's own among them.
func (i iface) inner() bool {
	if i.loopback {
		return true
	}
	for _, kind := range i.ports {
		if kind != "veth" {
			return false
		}
	}
	return i.bridge
}

// fleeting are addresses that are not to be told to others: not yet known to be the machine's own, about to go, or changed daily
// for privacy.
const fleeting = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED | unix.IFA_F_TEMPORARY

// interfaces are those of the machine, in the kernel's order.
func interfaces() ([]iface, error) {
	links, err := netlist.Links()
	if err != nil {
		return nil, err
	}
	addrs, err := netlist.Addresses(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	at := map[int]int{} // by the interfaces' index
	found := make([]iface, 0, len(links))
	for _, link := range links {
		a := link.Attrs()
		at[a.Index] = len(found)
		found = append(found, iface{
			name:     a.Name,
			shared:   a.RawFlags&unix.IFF_BROADCAST != 0,
			up:       a.RawFlags&unix.IFF_UP != 0 && a.OperState != netlink.OperDown && a.OperState != netlink.OperLowerLayerDown,
			loopback: a.RawFlags&unix.IFF_LOOPBACK != 0,
			bridge:   link.Type() == "bridge",
		})
	}
	for _, link := range links {
		if bridge, ok := at[link.Attrs().MasterIndex]; ok {
			found[bridge].ports = append(found[bridge].ports, link.Type())
		}
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		i, known := at[a.LinkIndex]
		if ok && known && a.Flags&fleeting == 0 {
			ones, _ := a.Mask.Size()
			found[i].addrs = append(found[i].addrs, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return found, nil
}
