package identity

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	nodeLife  = 7 * 24 * time.Hour
	adminLife = 365 * 24 * time.Hour
)

var (
	// always begins each certificate: a client whose clock is behind, in 1970 even, takes it all the same.
	always = time.Unix(0, 0)
	// forever stands for no end (RFC 5280, 4.1.2.5).
	forever = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

func newCA(key *ecdsa.PrivateKey) ([]byte, error) {
	id, err := fingerprint(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	tmpl, err := template(pkix.Name{CommonName: "covey cluster CA " + id[:8]}, forever)
	if err != nil {
		return nil, err
	}
	tmpl.IsCA = true
	tmpl.BasicConstraintsValid = true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
}

// crossSign certifies the key of a new CA by the old one.
func crossSign(fresh Authority, key *ecdsa.PrivateKey, old *Authority) ([]byte, error) {
	cert, err := decodeCert(fresh.Cert)
	if err != nil {
		return nil, err
	}
	parent, err := decodeCert(old.Cert)
	if err != nil {
		return nil, err
	}
	signer, err := decodeKey(old.Key)
	if err != nil {
		return nil, err
	}
	tmpl, err := template(cert.Subject, forever)
	if err != nil {
		return nil, err
	}
	tmpl.IsCA = true
	tmpl.BasicConstraintsValid = true
	tmpl.KeyUsage = cert.KeyUsage
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return encodeCert(der), nil
}

// issueNode makes the certificate that a node serves and dials with: user system:node:<name> in system:nodes and the group of
// its role.
func (id *Identity) issueNode(node Node, pub *ecdsa.PublicKey, names []string, ips []net.IP) (*x509.Certificate, error) {
	subject := pkix.Name{CommonName: nodeUser + node.Name, Organization: []string{nodesGroup, string(node.Role)}}
	tmpl, err := template(subject, id.latest().Add(nodeLife))
	if err != nil {
		return nil, err
	}
	tmpl.DNSNames, tmpl.IPAddresses = names, ips
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return id.sign(tmpl, pub)
}

// issueAdmin makes a client certificate for a user in system:masters.
func (id *Identity) issueAdmin(user string, pub *ecdsa.PublicKey) (*x509.Certificate, error) {
	tmpl, err := template(pkix.Name{CommonName: user, Organization: []string{"system:masters"}}, id.latest().Add(adminLife))
	if err != nil {
		return nil, err
	}
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return id.sign(tmpl, pub)
}

func (id *Identity) sign(tmpl *x509.Certificate, pub *ecdsa.PublicKey) (*x509.Certificate, error) {
	shared := id.shared.Load()
	if shared.signer == nil {
		return nil, errors.New("sign a certificate: this node does not have the CA's key, servers do")
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, shared.trusted[0], pub, shared.signer)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", tmpl.Subject, err)
	}
	return x509.ParseCertificate(der)
}

// template ends no later than what can be written down.
func template(subject pkix.Name, end time.Time) (*x509.Certificate, error) {
	if end.After(forever) {
		end = forever
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    always,
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}, nil
}

// renewAt is when a certificate that was made for life is to be replaced: when a third of it is left.
func renewAt(cert *x509.Certificate, life time.Duration) time.Time {
	return cert.NotAfter.Add(-life / 3)
}
