package identity

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// nodesGroup is the organisation in the certificates of nodes.
const nodesGroup = "system:nodes"

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
			id, err := s.id.NodeOf(cs.PeerCertificates, x509.ExtKeyUsageServerAuth)
			if err != nil {
				return err
			}
			if nodeID != "" && id != nodeID {
				return fmt.Errorf("node %s answers where node %s was expected", id, nodeID)
			}
			return nil
		},
	}
}

// NodeOf returns the ID of the node of this cluster that showed certs, the leaf first.
func (id *Identity) NodeOf(certs []*x509.Certificate, usage x509.ExtKeyUsage) (string, error) {
	if len(certs) == 0 {
		return "", errors.New("no certificate was shown")
	}
	leaf := certs[0]
	roots := x509.NewCertPool()
	roots.AddCert(id.ca)
	opts := x509.VerifyOptions{Roots: roots, CurrentTime: id.now(), KeyUsages: []x509.ExtKeyUsage{usage}}
	if _, err := leaf.Verify(opts); err != nil {
		return "", err
	}
	if !slices.Contains(leaf.Subject.Organization, nodesGroup) {
		return "", fmt.Errorf("%s is not a node", leaf.Subject)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return "", fmt.Errorf("%s has a key of an unknown type", leaf.Subject)
	}
	return fingerprint(key)
}

// NodeOf is Identity.NodeOf.
func (s *Server) NodeOf(certs []*x509.Certificate, usage x509.ExtKeyUsage) (string, error) {
	return s.id.NodeOf(certs, usage)
}
