package link

import (
	"crypto/tls"
	"errors"
	"net"

	"covey.dev/covey/node/identity"
)

// KeyListener yields the connections whose other end has proven some key, and nothing else: its Node has an ID alone.
func KeyListener(inner net.Listener) net.Listener { return keyListener{inner} }

type keyListener struct{ net.Listener }

func (l keyListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		id, err := keyOf(conn)
		if err != nil {
			_ = conn.Close()
			continue
		}
		return known{conn, identity.Node{ID: id}}, nil
	}
}

func keyOf(conn net.Conn) (nodeID string, err error) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return "", errors.New("the connection is not TLS")
	}
	certs := secure.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return "", errors.New("no certificate was shown")
	}
	return identity.KeyOf(certs[0])
}

// PeerOf is the ID of the node whose key the other end of a connection has shown, which Links has made or a listener of theirs has yielded;
// empty where it has shown none.
func PeerOf(conn net.Conn) string {
	if node, ok := NodeOf(conn); ok {
		return node.ID
	}
	id, _ := keyOf(conn)
	return id
}
