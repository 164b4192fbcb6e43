package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// pool hands out the addresses of a CIDR: the first is the gateway's, the last is the broadcast address.
type pool struct {
	cidr  netip.Prefix
	byUID map[string]netip.Addr
	taken map[netip.Addr]string
	next  netip.Addr // where the search goes on, so that an address is not used again at once
}

func newPool(cidr netip.Prefix) pool {
	cidr = cidr.Masked()
	return pool{cidr: cidr, byUID: map[string]netip.Addr{}, taken: map[netip.Addr]string{}, next: cidr.Addr().Next().Next()}
}

func (p *pool) gateway() netip.Addr { return p.cidr.Addr().Next() }

func (p *pool) usable(a netip.Addr) bool {
	return p.cidr.Contains(a) && p.cidr.Contains(a.Next()) && a != p.cidr.Addr() && a != p.gateway()
}

// index counts the addresses of the pool before a.
func (p *pool) index(a netip.Addr) uint32 {
	first, is := p.cidr.Addr().As4(), a.As4()
	return binary.BigEndian.Uint32(is[:]) - binary.BigEndian.Uint32(first[:])
}

// take gives uid the address in place of the one that it has, unless another has it.
func (p *pool) take(uid string, a netip.Addr) error {
	if other := p.taken[a]; other != "" && other != uid {
		return fmt.Errorf("address %s is that of the pod with UID %s", a, other)
	}
	p.release(uid)
	p.byUID[uid], p.taken[a] = a, uid
	return nil
}

// allocate gives uid the wanted address if it is free, else the next free one.
func (p *pool) allocate(uid string, want netip.Addr) (netip.Addr, error) {
	if have, ok := p.byUID[uid]; ok {
		return have, nil
	}
	if want.IsValid() && p.usable(want) && p.take(uid, want) == nil {
		return want, nil
	}
	a := p.next
	for range 1 << (p.cidr.Addr().BitLen() - p.cidr.Bits()) {
		if !p.usable(a) {
			a = p.gateway().Next()
		}
		if p.take(uid, a) == nil {
			p.next = a.Next()
			return a, nil
		}
		a = a.Next()
	}
	return netip.Addr{}, fmt.Errorf("no address is free in the node's pod CIDR %s (%d are in use)", p.cidr, len(p.taken))
}

func (p *pool) release(uid string) {
	if a, ok := p.byUID[uid]; ok {
		delete(p.byUID, uid)
		delete(p.taken, a)
	}
}
