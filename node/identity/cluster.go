package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

const (
	gossipKeyFile  = "gossip.key"
	joinedFile     = "joined" // is there when the cluster is not of this node's making
	gossipKeyBytes = 32
)

// Cluster is what a server hands to one that joins: with it, the new one is a server too.
type Cluster struct {
	CACert    []byte `json:"caCert"`    // PEM
	CAKey     []byte `json:"caKey"`     // PEM
	GossipKey []byte `json:"gossipKey"` // 32 bytes, AES-256
}

// Exists reports whether dir has a cluster's identity, of this node's own making or joined.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, caCertFile))
	return err == nil
}

// NodeKeyID makes the node's key where there is none and returns the node's ID, before the node knows any cluster.
func NodeKeyID(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create identity directory: %w", err)
	}
	key, err := loadOrCreateKey(filepath.Join(dir, nodeKeyFile))
	if err != nil {
		return "", err
	}
	return fingerprint(&key.PublicKey)
}

// Adopt makes cluster the one that the identity in dir belongs to. The CA's certificate is written last: until it is there,
// Exists says no, and the node joins again.
func Adopt(dir string, cluster Cluster) error {
	if len(cluster.GossipKey) != gossipKeyBytes {
		return fmt.Errorf("the cluster's gossip key has %d bytes, not %d", len(cluster.GossipKey), gossipKeyBytes)
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{joinedFile, nil}, {caKeyFile, cluster.CAKey}, {gossipKeyFile, cluster.GossipKey}, {caCertFile, cluster.CACert}} {
		if err := writeFile(filepath.Join(dir, file.name), file.data); err != nil {
			return fmt.Errorf("write the cluster's %s: %w", file.name, err)
		}
	}
	return nil
}

// Cluster is what a server that joins is handed. It holds the CA's private key.
func (id *Identity) Cluster() (Cluster, error) {
	key, err := encodeKey(id.caKey)
	return Cluster{CACert: id.CAPEM(), CAKey: key, GossipKey: id.gossipKey}, err
}

// GossipKey encrypts the gossip: 32 bytes, the same on all nodes of the cluster.
func (id *Identity) GossipKey() []byte { return id.gossipKey }

// CAFingerprint is the SHA-256 of the CA's certificate in hex; a join token carries it.
func (id *Identity) CAFingerprint() string { return Fingerprint(id.ca.Raw) }

// Fingerprint is the SHA-256 of a certificate (DER) in hex.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func loadOrCreateGossipKey(file string) ([]byte, error) {
	key, err := os.ReadFile(file)
	switch {
	case os.IsNotExist(err):
		key = make([]byte, gossipKeyBytes)
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("create the gossip key: %w", err)
		}
		if err := writeFile(file, key); err != nil {
			return nil, fmt.Errorf("write the gossip key: %w", err)
		}
	case err != nil:
		return nil, fmt.Errorf("read the gossip key: %w", err)
	case len(key) != gossipKeyBytes:
		return nil, fmt.Errorf("the gossip key in %s has %d bytes, not %d: copy it from another node of the cluster", file, len(key), gossipKeyBytes)
	}
	return key, nil
}
