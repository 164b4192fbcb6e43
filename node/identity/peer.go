package identity

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What is in the certificates of nodes: their user, and the organisation of all of them.
const (
	nodeUser   = "system:node:"
	nodesGroup = "system:nodes"
)

// Role is what a node may do in the cluster. It is an organisation in the node's certificate.
type Role string

const (
	// RoleServer is a node that holds the state, and the CA's key: it may do all.
	RoleServer Role = "covey:servers"
	// RoleWorker is a node that is told what to run: it may do what concerns itself.
	RoleWorker Role = "covey:workers"
)

// Node is who a certificate says that a node is.
type Node struct {
	ID   string // of its key
	Name string // of its Node object
	Role Role
}

// DialConfig is for a connection to another node of the cluster, in one ALPN protocol: both show their certificates. The
// other end must hold the key that nodeID names; with an empty nodeID any node of the cluster will do.
func (s *Server) DialConfig(nodeID, proto string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{proto},
		Time:       s.id.now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.current(false)
		},
		// A node is its key, whatever name or address it was reached by: VerifyConnection checks that.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			node, err := s.id.NodeOf(cs.PeerCertificates, x509.ExtKeyUsageServerAuth)
			if err != nil {
				return err
			}
			if nodeID != "" && node.ID != nodeID {
				return fmt.Errorf("node %s answers where node %s was expected", node.ID, nodeID)
			}
			return nil
		},
	}
}

// ErrRemoved is returned for the certificate of a node that was removed from the cluster.
var ErrRemoved = errors.New("it was removed from the cluster")

// NodeOf returns the node of this cluster that showed certs, the leaf first. A certificate that has expired is good all the same
// if its key is one that the cluster knows: whose clock is wrong nobody can tell, and who has left the cluster is not known. That of a
// node that was removed is not good at all.
func (id *Identity) NodeOf(certs []*x509.Certificate, usage x509.ExtKeyUsage) (Node, error) {
	if len(certs) == 0 {
		return Node{}, errors.New("no certificate was shown")
	}
	leaf, between := certs[0], x509.NewCertPool()
	for _, cert := range certs[1:] {
		between.AddCert(cert)
	}
	opts := x509.VerifyOptions{
		Roots: id.shared.Load().roots(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage},
		CurrentTime: leaf.NotAfter, // whether that is over is looked at below
	}
	if _, err := leaf.Verify(opts); err != nil {
		return Node{}, err
	}
	node, err := describe(leaf)
	if err != nil {
		return Node{}, err
	}
	if id.Removed(node.ID) {
		return Node{}, fmt.Errorf("node %s (%s): %w", node.Name, node.ID, ErrRemoved)
	}
	if id.now().After(leaf.NotAfter) && !id.knows(node.ID) {
		return Node{}, x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired, Detail: "and the cluster does not know its key"}
	}
	return node, nil
}

// SetKnown says how to ask whether the cluster knows a node by its key.
func (id *Identity) SetKnown(known func(nodeID string) bool) { id.known.Store(&known) }

// SetRemoved says how to ask whether a node was removed from the cluster, by its key.
func (id *Identity) SetRemoved(removed func(nodeID string) bool) { id.removed.Store(&removed) }

// Removed reports whether a node was removed from the cluster, as far as this one knows.
func (id *Identity) Removed(nodeID string) bool {
	removed := id.removed.Load()
	return removed != nil && (*removed)(nodeID)
}

func (id *Identity) knows(nodeID string) bool {
	known := id.known.Load()
	return known != nil && (*known)(nodeID)
}

// describe reads who a certificate says that a node is.
func describe(leaf *x509.Certificate) (Node, error) {
	name, isNode := strings.CutPrefix(leaf.Subject.CommonName, nodeUser)
	if !isNode || !slices.Contains(leaf.Subject.Organization, nodesGroup) {
		return Node{}, fmt.Errorf("%s is not a node", leaf.Subject)
	}
	role, err := roleIn(leaf.Subject.Organization)
	if err != nil {
		return Node{}, fmt.Errorf("%s: %w", leaf.Subject, err)
	}
	nodeID, err := KeyOf(leaf)
	return Node{ID: nodeID, Name: name, Role: role}, err
}

// KeyOf returns the ID of the node that a certificate's key is of. Whoever finished a handshake with it has that key; nothing else of
// it is checked.
func KeyOf(leaf *x509.Certificate) (nodeID string, err error) {
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return "", fmt.Errorf("%s has a key of an unknown type", leaf.Subject)
	}
	return fingerprint(key)
}

// roleIn finds the one role among a certificate's organisations.
func roleIn(organizations []string) (Role, error) {
	server, worker := slices.Contains(organizations, string(RoleServer)), slices.Contains(organizations, string(RoleWorker))
	switch {
	case server && !worker:
		return RoleServer, nil
	case worker && !server:
		return RoleWorker, nil
	}
	return "", errors.New("want the role of a server or of a worker")
}

// NodeOf is Identity.NodeOf.
func (s *Server) NodeOf(certs []*x509.Certificate, usage x509.ExtKeyUsage) (Node, error) {
	return s.id.NodeOf(certs, usage)
}

// Removed is Identity.Removed.
func (s *Server) Removed(nodeID string) bool { return s.id.Removed(nodeID) }
