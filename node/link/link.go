package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
)

// ErrUnknownNode is returned when nobody knows where a node is.
var ErrUnknownNode = errors.New("its address is not known")

// Certificates are the node's own, and how those of others are judged. *identity.Server implements it.
type Certificates interface {
	DialConfig(nodeID, proto string) *tls.Config
	NodeOf(certs []*x509.Certificate, usage x509.ExtKeyUsage) (nodeID string, err error)
}

// Links connects this node with others.
type Links struct {
	certs  Certificates
	locate func(nodeID string) (address string, ok bool)
	log    *slog.Logger
}

// New makes Links. locate says where a node is at the moment, as host:port.
func New(certs Certificates, locate func(nodeID string) (string, bool), log *slog.Logger) *Links {
	return &Links{certs: certs, locate: locate, log: log}
}

// Dial connects with the node of that ID, in one ALPN protocol.
func (l *Links) Dial(ctx context.Context, nodeID, proto string) (net.Conn, error) {
	address, ok := l.locate(nodeID)
	if !ok {
		return nil, fmt.Errorf("connect with node %s: %w", nodeID, ErrUnknownNode)
	}
	return l.DialAt(ctx, address, nodeID, proto)
}

// DialAt connects with the node of that ID at an address, host:port; with an empty ID any node of the cluster will do.
func (l *Links) DialAt(ctx context.Context, address, nodeID, proto string) (net.Conn, error) {
	dialer := tls.Dialer{Config: l.certs.DialConfig(nodeID, proto)}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect with a node at %s: %w", address, err)
	}
	// A node that does not speak proto may have gone on without one.
	if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != proto {
		_ = conn.Close()
		return nil, fmt.Errorf("connect with a node at %s: it does not speak %s", address, proto)
	}
	return conn, nil
}

// Listener yields the connections of l that a node of this cluster made, and closes all others.
func (l *Links) Listener(inner net.Listener) net.Listener { return listener{inner, l} }

type listener struct {
	net.Listener
	links *Links
}

func (l listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, err := l.links.node(conn); err != nil {
			l.links.log.Warn("a connection that only a node may make was refused", "remote", conn.RemoteAddr().String(), "error", err)
			_ = conn.Close()
			continue
		}
		return plain{conn}, nil
	}
}

// plain hides that a connection is TLS: net/http would close one whose protocol it does not know.
type plain struct{ net.Conn }

// node returns the ID of the node that made a connection.
func (l *Links) node(conn net.Conn) (string, error) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return "", errors.New("the connection is not TLS")
	}
	return l.certs.NodeOf(secure.ConnectionState().PeerCertificates, x509.ExtKeyUsageClientAuth)
}
