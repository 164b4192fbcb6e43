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

// NodeOf returns the node of this cluster that showed certs, the leaf first.
func (id *Identity) NodeOf(certs []*x509.Certificate, usage x509.ExtKeyUsage) (Node, error) {
	if len(certs) == 0 {
		return Node{}, errors.New("no certificate was shown")
	}
	leaf := certs[0]
	roots := x509.NewCertPool()
	roots.AddCert(id.ca)
	opts := x509.VerifyOptions{Roots: roots, CurrentTime: id.now(), KeyUsages: []x509.ExtKeyUsage{usage}}
	if _, err := leaf.Verify(opts); err != nil {
		return Node{}, err
	}
	name, isNode := strings.CutPrefix(leaf.Subject.CommonName, nodeUser)
	if !isNode || !slices.Contains(leaf.Subject.Organization, nodesGroup) {
		return Node{}, fmt.Errorf("%s is not a node", leaf.Subject)
	}
	role, err := roleIn(leaf.Subject.Organization)
	if err != nil {
		return Node{}, fmt.Errorf("%s: %w", leaf.Subject, err)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return Node{}, fmt.Errorf("%s has a key of an unknown type", leaf.Subject)
	}
	nodeID, err := fingerprint(key)
	return Node{ID: nodeID, Name: name, Role: role}, err
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
