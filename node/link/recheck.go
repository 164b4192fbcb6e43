package link

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"slices"
)

// Recheck closes the connections of nodes whose certificates are no longer good, as when the CA that signed them is not trusted any more,
// and those with nodes that were removed from the cluster.
func (l *Links) Recheck() {
	l.mu.Lock()
	open, dialed := slices.Collect(maps.Keys(l.open)), slices.Collect(maps.Keys(l.dialed))
	l.mu.Unlock()
	for _, conn := range dialed {
		if l.certs.Removed(conn.nodeID) {
			_ = conn.Close()
		}
	}
	for _, conn := range open {
		if _, err := l.node(conn, x509.ExtKeyUsageClientAuth); err != nil {
			l.refused(conn, err)
			_ = conn.Close()
		}
	}
}

func (l *Links) track(conn *tls.Conn) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[conn] = struct{}{}
	return tracked{conn, l}
}

// tracked is known to Recheck until it is closed.
type tracked struct {
	*tls.Conn
	links *Links
}

// Close implements net.Conn.
func (t tracked) Close() error {
	t.links.mu.Lock()
	delete(t.links.open, t.Conn)
	t.links.mu.Unlock()
	return t.Conn.Close()
}
