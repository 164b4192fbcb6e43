package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"covey.dev/covey/node/identity"
)

// ErrUnknownNode is returned when nobody knows where a node is.
var ErrUnknownNode = errors.New("its address is not known")

// Certificates are the node's own, and how those of others are judged. *identity.Server implements it.
type Certificates interface {
	DialConfig(nodeID, proto string) *tls.Config
	NodeOf(certs []*x509.Certificate, usage x509.ExtKeyUsage) (identity.Node, error)
	Removed(nodeID string) bool
}

// Book says where nodes are. *gossip.Gossip implements it.
type Book interface {
	// Locate returns the addresses (host:port) of a node at the moment, the best first; none if it is not known.
	Locate(nodeID string) []string
	// Reached says at which of its addresses a node has answered.
	Reached(nodeID, address string)
}

// Links connects this node with others.
type Links struct {
	certs Certificates
	book  Book
	log   *slog.Logger

	warnings *rate.Limiter

	mu     sync.Mutex
	dialed map[*dialed]struct{}   // the connections that this node has made
	open   map[*tls.Conn]struct{} // that nodes made
}

// Of the refused connections so many in a row are warned of, and one more each warnInterval: whoever makes them could fill the disk
// otherwise.
const (
	warnBurst    = 10
	warnInterval = 10 * time.Second
)

func (l *Links) refused(conn net.Conn, err error) {
	level := slog.LevelDebug
	if l.warnings.Allow() {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "a connection that only a node may make was refused", "remote", conn.RemoteAddr().String(), "error", err)
}

// New makes Links.
func New(certs Certificates, book Book, log *slog.Logger) *Links {
	return &Links{
		certs: certs, book: book, log: log,
		warnings: rate.NewLimiter(rate.Every(warnInterval), warnBurst), dialed: map[*dialed]struct{}{}, open: map[*tls.Conn]struct{}{},
	}
}

// Dial connects with the node of that ID, in one ALPN protocol.
func (l *Links) Dial(ctx context.Context, nodeID, proto string) (net.Conn, error) {
	addresses := l.book.Locate(nodeID)
	if len(addresses) == 0 {
		return nil, fmt.Errorf("connect with node %s: %w", nodeID, ErrUnknownNode)
	}
	return l.DialAt(ctx, addresses, nodeID, proto)
}

// DialServer is Dial for what only a server may be told: a worker that says to be one is refused by its certificate.
func (l *Links) DialServer(ctx context.Context, nodeID, proto string) (net.Conn, error) {
	conn, err := l.Dial(ctx, nodeID, proto)
	return l.served(conn, err)
}

// DialServerAt is DialServer at an address, host:port, whichever server is there.
func (l *Links) DialServerAt(ctx context.Context, address, proto string) (net.Conn, error) {
	conn, err := l.DialAt(ctx, []string{address}, "", proto)
	return l.served(conn, err)
}

func (l *Links) served(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	node, err := l.node(conn, x509.ExtKeyUsageServerAuth)
	if err == nil {
		err = mustServe(node)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect with a server at %s: %w", conn.RemoteAddr(), err), conn.Close())
	}
	return conn, nil
}

func mustServe(node identity.Node) error {
	if node.Role != identity.RoleServer {
		return fmt.Errorf("node %s (%s) is not a server", node.Name, node.ID)
	}
	return nil
}

// Listener yields the connections that a node of this cluster made, and closes all others. NodeOf says whose one is.
func (l *Links) Listener(inner net.Listener) net.Listener {
	return listener{inner, l, func(identity.Node) error { return nil }}
}

// ServerListener yields the connections that a server of this cluster made, and closes all others.
func (l *Links) ServerListener(inner net.Listener) net.Listener { return listener{inner, l, mustServe} }

type listener struct {
	net.Listener
	links *Links
	admit func(identity.Node) error
}

func (l listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		node, err := l.links.node(conn, x509.ExtKeyUsageClientAuth)
		if err == nil {
			err = l.admit(node)
		}
		if err != nil {
			l.links.refused(conn, err)
			_ = conn.Close()
			continue
		}
		return known{l.links.track(conn.(*tls.Conn)), node}, nil
	}
}

// known is a connection whose other end is known. It hides that the connection is TLS: net/http would close one whose protocol
// it does not know.
type known struct {
	net.Conn
	node identity.Node
}

// NodeOf says which node made a connection that a Listener yielded.
func NodeOf(conn net.Conn) (identity.Node, bool) {
	k, ok := conn.(known)
	return k.node, ok
}

// node returns the node at the other end of a connection.
func (l *Links) node(conn net.Conn, usage x509.ExtKeyUsage) (identity.Node, error) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return identity.Node{}, errors.New("the connection is not TLS")
	}
	return l.certs.NodeOf(secure.ConnectionState().PeerCertificates, usage)
}
