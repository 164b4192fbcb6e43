package identity

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// NodeProtocols begins the ALPN names of the protocols that only nodes speak.
const NodeProtocols = "covey-"

// KeyProtocol is the ALPN name of the protocol in which a node proves nothing but its key, as one does that was away for so long that
// its certificate, or the CA that signed it, is no longer good.
const KeyProtocol = NodeProtocols + "key/1"

// Server is the certificate a node serves with. A worker's is made by a server (Renew). A server's own is made on demand, covers every local address it was reached at, and
// is renewed at the first handshake after two thirds of its life, so that nothing needs a timer.
type Server struct {
	id       *Identity
	nodeName string

	mu     sync.Mutex
	names  []string
	ips    []net.IP
	cert   *tls.Certificate // as shown to nodes
	short  *tls.Certificate // as shown to clients
	signed *opened          // the keys that cert was made with
}

// A certificate covers at most so many addresses; those that were there first are not given up for others.
const (
	mostAddresses  = 64
	firstAddresses = 8
)

// NewServer starts with the names and addresses ("localhost", "10.0.0.7") that clients are told to use.
func (id *Identity) NewServer(nodeName string, hosts ...string) *Server {
	s := &Server{id: id, nodeName: nodeName}
	for _, host := range slices.Concat(hosts, []string{nodeName, "localhost", "127.0.0.1", "::1"}, apiNames) {
		s.add(host)
	}
	return s
}

// TLSConfig asks clients for a certificate of the cluster's CA but also lets those in that show none: what an anonymous
// request may see is the API's to decide. Whether a node's certificate has expired is for NodeOf to say; in KeyProtocol any
// certificate will do. protos are the ALPN protocols served.
func (s *Server) TLSConfig(protos ...string) *tls.Config {
	base := &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     protos,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		Time:           s.id.now,
		GetCertificate: s.certificate,
		// A session that goes on is not checked again, and the CAs may change meanwhile.
		SessionTicketsDisabled: true,
	}
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cfg := base.Clone()
		cfg.GetConfigForClient = nil
		cfg.ClientCAs = s.id.shared.Load().roots()
		switch {
		case slices.Equal(hello.SupportedProtos, []string{KeyProtocol}):
			cfg.ClientAuth = tls.RequireAnyClientCert
		case ofNodes(hello.SupportedProtos):
			cfg.Time = func() time.Time { return always }
		default:
			cfg.NextProtos = slices.DeleteFunc(slices.Clone(protos), isNodes)
		}
		return cfg, nil
	}
	return base
}

func isNodes(proto string) bool { return strings.HasPrefix(proto, NodeProtocols) }

// ofNodes reports whether a client offers protocols of nodes only.
func ofNodes(protos []string) bool {
	return len(protos) > 0 && !slices.ContainsFunc(protos, func(proto string) bool { return !isNodes(proto) })
}

func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	cert, err := s.current(err == nil && s.add(host))
	if err == nil && !ofNodes(hello.SupportedProtos) {
		cert = s.short
	}
	return cert, err
}

// current is called with mu held; grown says that the certificate lacks a name or address.
func (s *Server) current(grown bool) (*tls.Certificate, error) {
	shared := s.id.shared.Load()
	if held := s.id.held.Load(); held != nil {
		if s.cert == nil || s.cert.Leaf != held || s.signed != shared {
			s.show(held, shared)
		}
		return s.cert, nil
	}
	if s.cert != nil && !grown && s.signed == shared && s.id.now().Before(renewAt(s.cert.Leaf, nodeLife)) {
		return s.cert, nil
	}
	leaf, err := s.id.issueNode(Node{Name: s.nodeName, Role: RoleServer}, &s.id.key.PublicKey, s.names, s.ips)
	if err != nil {
		return nil, err
	}
	s.show(leaf, shared)
	return s.cert, nil
}

// show makes leaf the certificate that is shown, with the CAs, by whose fingerprints tokens name them, and what leads from older ones to
// the one that signs: nodes may have slept through more than one, clients are told of the last while it is trusted.
func (s *Server) show(leaf *x509.Certificate, shared *opened) {
	with := func(others ...[]*x509.Certificate) *tls.Certificate {
		cert := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: s.id.key, Leaf: leaf}
		for _, other := range slices.Concat(others...) {
			cert.Certificate = append(cert.Certificate, other.Raw)
		}
		return cert
	}
	signs, old := shared.trusted[:1], shared.trusted[1:]
	s.cert, s.short, s.signed = with(signs, shared.crosses, old), with(signs), shared
	if len(old) > 0 {
		s.short = with(signs, shared.crosses[:1], old)
	}
}

// StillGood reports whether the certificate that a client showed when it connected would be good now; none is.
func (id *Identity) StillGood(state *tls.ConnectionState) bool {
	if state == nil || len(state.VerifiedChains) == 0 {
		return true
	}
	shared, now := id.shared.Load(), id.now()
	if node, err := describe(state.VerifiedChains[0][0]); err == nil && id.Removed(node.ID) {
		return false
	}
	return slices.ContainsFunc(state.VerifiedChains, func(chain []*x509.Certificate) bool {
		return !now.After(chain[0].NotAfter) && slices.ContainsFunc(shared.trusted, chain[len(chain)-1].Equal)
	})
}

// roots are the CAs that are trusted.
func (o *opened) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range o.trusted {
		pool.AddCert(ca)
	}
	return pool
}

// SetAddresses makes these, and those that the node was reached at since, the addresses that the certificate covers.
func (s *Server) SetAddresses(hosts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ips = slices.DeleteFunc(s.ips, func(ip net.IP) bool { return !ip.IsLoopback() })
	for _, host := range hosts {
		s.add(host)
	}
	s.cert = nil
}

// add reports whether host was new.
func (s *Server) add(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		if slices.ContainsFunc(s.ips, ip.Equal) {
			return false
		}
		if len(s.ips) >= mostAddresses {
			s.ips = slices.Delete(s.ips, firstAddresses, firstAddresses+1) // it is there again when it is asked for again
		}
		s.ips = append(s.ips, ip)
		return true
	}
	if host == "" || slices.Contains(s.names, host) {
		return false
	}
	s.names = append(s.names, host)
	return true
}
