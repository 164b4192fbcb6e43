package address

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Everyone are the addresses at which all machines on a network of this one hear what is sent: the broadcast address of each network of
// IPv4, and the group of all nodes on each link with IPv6.
func (a *Addresses) Everyone() []netip.Addr {
	found, err := interfaces()
	if err != nil {
		return nil
	}
	return everyone(found, a.only)
}

// everyone is of the networks of one address only, if that is valid.
func everyone(found []iface, only netip.Addr) (all []netip.Addr) {
	for _, i := range found {
		if !i.up || !i.shared || i.inner() {
			continue
		}
		for _, p := range i.addrs {
			if !p.Addr().IsGlobalUnicast() || only.IsValid() && p.Addr() != only {
				continue
			}
			to := broadcast(p)
			if p.Addr().Is6() {
				to = netip.IPv6LinkLocalAllNodes().WithZone(i.name)
			}
			if to.IsValid() && !slices.Contains(all, to) {
				all = append(all, to)
			}
		}
	}
	return all
}

// broadcast is the last address of a network of IPv4; invalid where the network has none to spare.
func broadcast(p netip.Prefix) netip.Addr {
	const leastHostBits = 2
	hostBits := 32 - p.Bits()
	if !p.Addr().Is4() || hostBits < leastHostBits {
		return netip.Addr{}
	}
	a := p.Addr().As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|(1<<hostBits-1))
	return netip.AddrFrom4(a)
}
