package identity

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync"
)

// Server is the certificate a node serves with. It is made on demand, covers every local address it was reached at, and
// is renewed at the first handshake after two thirds of its life, so that nothing needs a timer.
type Server struct {
	id       *Identity
	nodeName string

	mu    sync.Mutex
	names []string
	ips   []net.IP
	cert  *tls.Certificate
}

// NewServer starts with the names and addresses ("localhost", "10.0.0.7") that clients are told to use.
func (id *Identity) NewServer(nodeName string, hosts ...string) *Server {
	s := &Server{id: id, nodeName: nodeName}
	for _, host := range append(hosts, nodeName, "localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc") {
		s.add(host)
	}
	return s
}

// TLSConfig asks clients for a certificate of the cluster's CA but also lets those in that show none: what an anonymous
// request may see is the API's to decide. protos are the ALPN protocols served.
func (s *Server) TLSConfig(protos ...string) *tls.Config {
	clients := x509.NewCertPool()
	clients.AddCert(s.id.ca)
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     protos,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      clients,
		Time:           s.id.now,
		GetCertificate: s.certificate,
	}
}

func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	return s.current(err == nil && s.add(host))
}

// current is called with mu held; grown says that the certificate lacks a name or address.
func (s *Server) current(grown bool) (*tls.Certificate, error) {
	if s.cert != nil && !grown && s.id.now().Before(renewAt(s.cert.Leaf)) {
		return s.cert, nil
	}
	leaf, err := s.id.issueNode(Node{Name: s.nodeName, Role: RoleServer}, &s.id.key.PublicKey, s.names, s.ips)
	if err != nil {
		return nil, err
	}
	s.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw, s.id.ca.Raw}, PrivateKey: s.id.key, Leaf: leaf}
	return s.cert, nil
}

// add reports whether host was new.
func (s *Server) add(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		if slices.ContainsFunc(s.ips, ip.Equal) {
			return false
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
