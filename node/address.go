package node

import (
	"context"
	"net"
	"net/netip"

	"covey.dev/covey/node/address"
)

// moved has the parts of the node follow the machine's links and, when they are others now, its addresses.
func (n *base) moved(others bool) {
	if others {
		n.log.Info("this node's addresses are others now", "addresses", n.addresses.List())
		n.links.Prune(address.Mine())
		if err := n.gossip.Moved(); err != nil {
			n.log.Warn("the other nodes may hear late of this one's new addresses", "error", err)
		}
		n.serverCert.SetAddresses(n.hosts()...)
		n.relocated.notify()
	}
	if n.agent != nil {
		n.agent.Moved()
	}
}

// followMoves closes the connections to where other nodes are no more, until ctx ends.
func (n *base) followMoves(ctx context.Context) error {
	for {
		changed := n.gossip.Changed()
		n.links.Prune(func(netip.Addr) bool { return true })
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// hosts are the node's addresses, as its certificate names them.
func (n *base) hosts() (hosts []string) {
	for _, prefix := range n.addresses.List() {
		hosts = append(hosts, prefix.Addr().String())
	}
	return hosts
}

// localServer is the URL at which a client on this machine reaches the API.
func localServer(listen *net.TCPAddr) string {
	addr := *listen
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	return "https://" + addr.String()
}
