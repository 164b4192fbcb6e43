package identity

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Identity is a node's key pair and the cluster's certificate authority.
type Identity struct {
	dir string
	now func() time.Time

	key    *ecdsa.PrivateKey
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
	nodeID string

	gossipKey []byte
	joined    bool
}

// The files in an identity's directory.
const (
	nodeKeyFile = "node.key"
	caKeyFile   = "ca.key"
	caCertFile  = "ca.crt"
)

// Open loads the identity in dir, and makes the node's key and a new cluster CA where there is none. Files are written
// with mode 0600. A file that cannot be read back is an error that names it: a lost CA key must not be replaced silently.
func Open(dir string, now func() time.Time) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create identity directory: %w", err)
	}
	id := &Identity{dir: dir, now: now}
	var err error
	if id.key, err = loadOrCreateKey(filepath.Join(dir, nodeKeyFile)); err != nil {
		return nil, err
	}
	if err := id.openCA(); err != nil {
		return nil, err
	}
	if id.gossipKey, err = loadOrCreateGossipKey(filepath.Join(dir, gossipKeyFile)); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, joinedFile)); err == nil {
		id.joined = true
	}
	id.nodeID, err = fingerprint(&id.key.PublicKey)
	return id, err
}

// NodeID names the node by its key: 32 hex digits of the SHA-256 of its public key.
func (id *Identity) NodeID() string { return id.nodeID }

// Joined says that the cluster was there before this node, which joined it.
func (id *Identity) Joined() bool { return id.joined }

// CAPEM is the cluster CA's certificate.
func (id *Identity) CAPEM() []byte { return encodeCert(id.ca.Raw) }

func (id *Identity) openCA() error {
	keyFile, certFile := filepath.Join(id.dir, caKeyFile), filepath.Join(id.dir, caCertFile)
	key, err := loadOrCreateKey(keyFile)
	if err != nil {
		return err
	}
	id.caKey = key
	data, err := os.ReadFile(certFile)
	switch {
	case os.IsNotExist(err):
		return id.createCA(certFile)
	case err != nil:
		return fmt.Errorf("read the cluster CA: %w", err)
	}
	if id.ca, err = decodeCert(data); err != nil {
		return fmt.Errorf("read the cluster CA in %s: %w", certFile, err)
	}
	if !key.PublicKey.Equal(id.ca.PublicKey) {
		return fmt.Errorf("the cluster CA's key in %s does not belong to the certificate in %s: restore both from the same backup", keyFile, certFile)
	}
	return nil
}

func (id *Identity) createCA(file string) error {
	der, err := newCA(id.caKey, id.now())
	if err != nil {
		return fmt.Errorf("create the cluster CA: %w", err)
	}
	if err := writeFile(file, encodeCert(der)); err != nil {
		return fmt.Errorf("write the cluster CA: %w", err)
	}
	id.ca, err = x509.ParseCertificate(der)
	return err
}

func fingerprint(pub *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("fingerprint the node's key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:16]), nil
}
