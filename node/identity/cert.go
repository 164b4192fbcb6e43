package identity

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	caLife    = 20 * 365 * 24 * time.Hour
	nodeLife  = 7 * 24 * time.Hour
	adminLife = 365 * 24 * time.Hour
	// backdate keeps a certificate valid for a peer whose clock is behind.
	backdate = time.Hour
)

func newCA(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	tmpl, err := template(pkix.Name{CommonName: "covey cluster CA"}, now, caLife)
	if err != nil {
		return nil, err
	}
	tmpl.IsCA = true
	tmpl.BasicConstraintsValid = true
	tmpl.MaxPathLenZero = true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
}

// issueNode makes the certificate that a node serves and dials with: user system:node:<name> in system:nodes and the group of
// its role.
func (id *Identity) issueNode(node Node, pub *ecdsa.PublicKey, names []string, ips []net.IP) (*x509.Certificate, error) {
	subject := pkix.Name{CommonName: nodeUser + node.Name, Organization: []string{nodesGroup, string(node.Role)}}
	tmpl, err := template(subject, id.now(), nodeLife)
	if err != nil {
		return nil, err
	}
	tmpl.DNSNames, tmpl.IPAddresses = names, ips
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return id.sign(tmpl, pub)
}

// issueAdmin makes a client certificate for a user in system:masters.
func (id *Identity) issueAdmin(user string, pub *ecdsa.PublicKey) (*x509.Certificate, error) {
	tmpl, err := template(pkix.Name{CommonName: user, Organization: []string{"system:masters"}}, id.now(), adminLife)
	if err != nil {
		return nil, err
	}
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return id.sign(tmpl, pub)
}

func (id *Identity) sign(tmpl *x509.Certificate, pub *ecdsa.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, id.ca, pub, id.caKey)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", tmpl.Subject, err)
	}
	return x509.ParseCertificate(der)
}

func template(subject pkix.Name, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}, nil
}

// renewAt is when a certificate is to be replaced: after two thirds of its life.
func renewAt(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) * 2 / 3)
}
