package identity

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// certFile is a worker's certificate, which a server has made. Only workers have it.
const certFile = "node.crt"

// IsWorker reports whether the identity in dir is that of a worker.
func IsWorker(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, certFile))
	return err == nil
}

// NewRequest makes the node's key where there is none, and a request (PEM) for a certificate, which proves that this node has
// that key.
func NewRequest(dir string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create identity directory: %w", err)
	}
	key, err := loadOrCreateKey(filepath.Join(dir, nodeKeyFile))
	if err != nil {
		return nil, err
	}
	return newRequest(key)
}

func newRequest(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "covey"}}, key)
	if err != nil {
		return nil, fmt.Errorf("request a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// RequestID is the ID of the node whose key a request proves.
func RequestID(request []byte) (string, error) {
	key, err := requestKey(request)
	if err != nil {
		return "", err
	}
	return fingerprint(key)
}

func requestKey(request []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(request)
	if block == nil {
		return nil, errors.New("read the request for a certificate: no PEM block")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("read the request for a certificate: %w", err)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("read the request for a certificate: its key is of an unknown type")
	}
	return key, nil
}

// ownAddresses are those by which every machine calls itself.
var ownAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}

// IssueWorker makes a worker's certificate (PEM) for the key of a request. It is good for the worker's own machine and for address,
// where the worker was reached; nil is for none.
func (id *Identity) IssueWorker(name string, request []byte, address net.IP) ([]byte, error) {
	key, err := requestKey(request)
	if err != nil {
		return nil, err
	}
	ips := slices.Clone(ownAddresses)
	if address != nil {
		ips = append(ips, address)
	}
	names := []string{"localhost"}
	if CheckWorkerName(name) == nil { // versions of before let others in too
		names = append(names, name)
	}
	cert, err := id.issueNode(Node{Name: name, Role: RoleWorker}, key, names, ips)
	if err != nil {
		return nil, err
	}
	return encodeCert(cert.Raw), nil
}

// AdoptWorker makes the cluster that these keys are of the one that the worker in dir belongs to, with the certificate that it was
// given.
func AdoptWorker(dir string, keys Keys, cert []byte) error {
	if err := writeFile(filepath.Join(dir, certFile), cert); err != nil {
		return fmt.Errorf("write the worker's certificate: %w", err)
	}
	return Adopt(dir, keys)
}

// openHeld reads a worker's certificate; a server has none.
func (id *Identity) openHeld() error {
	if !IsWorker(id.dir) {
		return nil
	}
	cert, err := readCert(filepath.Join(id.dir, certFile))
	if err != nil {
		return fmt.Errorf("read the worker's certificate: %w", err)
	}
	id.held.Store(cert)
	return nil
}

func readCert(file string) (*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	cert, err := decodeCert(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cert, nil
}

// Request is NewRequest of an identity that is open.
func (id *Identity) Request() ([]byte, error) { return newRequest(id.key) }

// RenewAfter is how long after it was made a worker's certificate is to be replaced at the latest, whatever the clock says.
const RenewAfter = nodeLife * 2 / 3

// RenewAt is when a worker has to ask for another certificate: long ago if that which it has is of a CA that is trusted no more, or has no
// address that others have for it, as when another worker passed on its request to join.
func (id *Identity) RenewAt() time.Time {
	held := id.held.Load()
	for _, ca := range id.shared.Load().trusted {
		if held.CheckSignatureFrom(ca) == nil && len(held.IPAddresses) > len(ownAddresses) {
			return renewAt(held, nodeLife)
		}
	}
	return time.Time{}
}

// Renew puts a worker's new certificate (PEM) in the place of the one it has, from the next connection on.
func (id *Identity) Renew(cert []byte) error {
	leaf, err := decodeCert(cert)
	if err != nil {
		return fmt.Errorf("read the new certificate: %w", err)
	}
	node, err := id.NodeOf([]*x509.Certificate{leaf}, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return fmt.Errorf("check the new certificate: %w", err)
	}
	if node.ID != id.nodeID {
		return errors.New("check the new certificate: it is for another node's key")
	}
	if err := writeFile(filepath.Join(id.dir, certFile), cert); err != nil {
		return fmt.Errorf("write the new certificate: %w", err)
	}
	id.held.Store(leaf)
	return nil
}
