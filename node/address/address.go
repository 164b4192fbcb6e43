package address

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// most is how many addresses are told to others: they have to fit in what travels with the gossip.
const most = 6

// Addresses are those of this node.
type Addresses struct {
	only netip.Addr // the one that it was told to use, if any

	mu   sync.Mutex
	list []netip.Prefix
}

// New looks at the machine. The node is reached at advertise if there is one, else at the address it listens on, or at any
// of the machine's if that is unspecified.
func New(advertise string, listen net.IP) *Addresses {
	a := &Addresses{}
	if only, err := netip.ParseAddr(advertise); err == nil {
		a.only = only.Unmap()
	} else if ip, ok := netip.AddrFromSlice(listen); ok && !ip.IsUnspecified() {
		a.only = ip.Unmap()
	}
	a.refresh()
	return a
}

// List returns the addresses, the best first, each with the size of its network. There is at least one, and the caller
// leaves it as it is.
func (a *Addresses) List() []netip.Prefix {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list
}

// All are the addresses alone.
func (a *Addresses) All() []netip.Addr {
	list := a.List()
	all := make([]netip.Addr, len(list))
	for i, p := range list {
		all[i] = p.Addr()
	}
	return all
}

// Near reports whether an address is on a network of this machine.
func (a *Addresses) Near(addr netip.Addr) bool {
	return slices.ContainsFunc(a.List(), func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Mine tells the addresses that the machine has now, fleeting ones too, from all others; all are taken for its own when the kernel does not
// say.
func Mine() func(netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	return func(a netip.Addr) bool {
		return err != nil || slices.ContainsFunc(addrs, func(has net.Addr) bool {
			n, ok := has.(*net.IPNet)
			return ok && n.IP.Equal(a.AsSlice())
		})
	}
}

// refresh reports whether the addresses are others than before. A machine that has lost the last one is still known by it.
func (a *Addresses) refresh() bool {
	now := a.look()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(now) == 0 && len(a.list) == 0 {
		now = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}
	}
	if len(now) == 0 || slices.Equal(now, a.list) {
		return false
	}
	a.list = now
	return true
}

func (a *Addresses) look() []netip.Prefix {
	found, err := interfaces()
	if err != nil {
		return nil
	}
	if a.only.IsValid() {
		return []netip.Prefix{only(a.only, found)}
	}
	return choose(found, preferred())
}

// only is the one address with the size of its network; one that the machine does not have, because something between
// translates it, is on no network of the machine.
func only(addr netip.Addr, found []iface) netip.Prefix {
	for _, i := range found {
		for _, p := range i.addrs {
			if p.Addr() == addr {
				return p
			}
		}
	}
	return netip.PrefixFrom(addr, addr.BitLen())
}

// choose leaves out what no other machine can reach, and puts the address first that the machine itself would use to reach
// the world.
func choose(found []iface, first []netip.Addr) []netip.Prefix {
	var list []netip.Prefix
	for _, i := range found {
		if !i.up || i.inner() {
			continue
		}
		for _, p := range i.addrs {
			if p.Addr().IsGlobalUnicast() {
				list = append(list, p)
			}
		}
	}
	rank := func(p netip.Prefix) int {
		if i := slices.Index(first, p.Addr()); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortStableFunc(list, func(a, b netip.Prefix) int { return rank(a) - rank(b) })
	return list[:min(len(list), most)]
}

// preferred asks the kernel which source addresses it would use; nothing is sent.
func preferred() []netip.Addr {
	var addrs []netip.Addr
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		conn, err := net.Dial("udp", far)
		if err != nil {
			continue
		}
		if local, ok := netip.AddrFromSlice(conn.LocalAddr().(*net.UDPAddr).IP); ok {
			addrs = append(addrs, local.Unmap())
		}
		_ = conn.Close()
	}
	return addrs
}
