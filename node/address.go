package node

import "net"

// moved has the parts of the node follow the machine's links and, when they are others now, its addresses.
func (n *base) moved(others bool) {
	if others {
		n.log.Info("this node's addresses are others now", "addresses", n.addresses.List())
	}
	n.agent.Moved()
}

// localServer is the URL at which a client on this machine reaches the API.
func localServer(listen *net.TCPAddr) string {
	addr := *listen
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	return "https://" + addr.String()
}
