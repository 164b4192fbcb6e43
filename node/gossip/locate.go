package gossip

import (
	"encoding/hex"
	"net/netip"
	"slices"
)

// virtual is the address by which memberlist knows a node. It follows from the node's ID and stands for no place: memberlist
// takes a known node at another address for an impostor, and so that a node may move, the places it is at travel in its metadata.
func virtual(nodeID string) netip.Addr {
	id, _ := hex.DecodeString(nodeID) // 16 bytes
	var a [16]byte
	copy(a[1:], id)
	a[0] = virtualNetwork
	return netip.AddrFrom16(a)
}

// virtualNetwork is the first byte of a virtual address: that of IPv6 addresses that are never seen outside of a site.
const virtualNetwork = 0xfd

// Locate says at which addresses (host:port) the node of that ID is, or was when it was heard of last: it may be there though the
// gossip has lost it. The first is the one where it answered last, then come those on networks of this machine.
func (g *Gossip) Locate(nodeID string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, _ := g.lastKnown(nodeID)
	addresses := slices.Clone(m.Addresses)
	rank := func(address string) int {
		switch {
		case address == g.reached[nodeID]:
			return 0
		case g.near(address):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(addresses, func(a, b string) int { return rank(a) - rank(b) })
	return addresses
}

// LastKnown is the node of that ID, as it is or was when it was heard of last.
func (g *Gossip) LastKnown(nodeID string) (Member, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lastKnown(nodeID)
}

// lastKnown is called with mu held.
func (g *Gossip) lastKnown(nodeID string) (Member, bool) {
	if m, alive := g.alive[nodeID]; alive {
		return m, true
	}
	m, ok := g.lost[nodeID]
	return m, ok
}

func (g *Gossip) near(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && g.cfg.Near != nil && g.cfg.Near(a.Addr())
}

// Reached says at which of its addresses a node has answered.
func (g *Gossip) Reached(nodeID, address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reached[nodeID] = address
}

// Moved tells the others that this node's addresses are others now.
func (g *Gossip) Moved() error {
	g.toCall.Store(movedCalls)
	return g.list.UpdateNode(tellTimeout)
}
