package identity

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Identity is a node's key pair and the keys that it shares with the others.
type Identity struct {
	dir    string
	now    func() time.Time // to judge by
	latest func() time.Time // to issue by
	key    *ecdsa.PrivateKey
	nodeID string
	joined bool
	held   atomic.Pointer[x509.Certificate] // a worker's own, which a server made

	shared atomic.Pointer[opened]
	known  atomic.Pointer[func(nodeID string) bool]

	removed atomic.Pointer[func(nodeID string) bool]
}

// opened are the keys of the cluster, ready for use.
type opened struct {
	Keys
	trusted []*x509.Certificate // the first signs
	crosses []*x509.Certificate
	signer  *ecdsa.PrivateKey // nil on a node that does not sign
}

// The files in an identity's directory.
const (
	nodeKeyFile = "node.key"
	keysFile    = "cluster.json" // Keys
	joinedFile  = "joined"       // is there when the cluster is not of this node's making
)

// Open loads the identity in dir, and makes the node's key and the keys of a new cluster where there are none. Files are written
// with mode 0600. A file that cannot be read back is an error that names it: a lost CA key must not be replaced silently.
func Open(dir string, now func() time.Time) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create identity directory: %w", err)
	}
	id := &Identity{dir: dir, now: now, latest: now}
	var err error
	if id.key, err = loadOrCreateKey(filepath.Join(dir, nodeKeyFile)); err != nil {
		return nil, err
	}
	if id.nodeID, err = fingerprint(&id.key.PublicKey); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, joinedFile)); err == nil {
		id.joined = true
	}
	if err := id.openKeys(); err != nil {
		return nil, err
	}
	return id, id.openHeld()
}

// IssueBy has certificates made by another time than that by which they are judged.
func (id *Identity) IssueBy(latest func() time.Time) { id.latest = latest }

func (id *Identity) openKeys() error {
	file := filepath.Join(id.dir, keysFile)
	data, err := os.ReadFile(file)
	switch {
	case os.IsNotExist(err):
		keys, err := NewKeys(id.now())
		if err != nil {
			return err
		}
		_, err = id.Install(keys)
		return err
	case err != nil:
		return fmt.Errorf("read the cluster's keys: %w", err)
	}
	keys, err := DecodeKeys(data)
	if err != nil {
		return fmt.Errorf("read the cluster's keys in %s: %w; restore the file from a backup, or copy it from another server", file, err)
	}
	shared, err := keys.open()
	if err != nil {
		return err
	}
	id.shared.Store(shared)
	return nil
}

// Install makes keys those of the cluster from now on, on the disk first, unless the node has the same or newer ones.
func (id *Identity) Install(keys Keys) (changed bool, err error) {
	if has := id.shared.Load(); has != nil && has.Generation >= keys.Generation {
		return false, nil
	}
	shared, err := keys.open()
	if err != nil {
		return false, fmt.Errorf("install the cluster's keys: %w", err)
	}
	if has := id.shared.Load(); has != nil && has.Current().Key != nil && shared.Current().Key == nil {
		return false, errors.New("install the cluster's keys: they are those of a worker, and this node is a server")
	}
	if err := writeKeys(id.dir, keys); err != nil {
		return false, err
	}
	id.shared.Store(shared)
	return true, nil
}

func writeKeys(dir string, keys Keys) error {
	data, err := keys.Encode()
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, keysFile), data); err != nil {
		return fmt.Errorf("write the cluster's keys: %w", err)
	}
	return nil
}

// Keys are what this node shares with the others; on a server with the CA's private key.
func (id *Identity) Keys() Keys { return id.shared.Load().Clone() }

// NodeID names the node by its key: 32 hex digits of the SHA-256 of its public key.
func (id *Identity) NodeID() string { return id.nodeID }

// Joined says that the cluster was there before this node, which joined it.
func (id *Identity) Joined() bool { return id.joined }

// CAPEM is the certificates of the CAs that are trusted, the one that signs first.
func (id *Identity) CAPEM() []byte { return id.shared.Load().bundle() }

// CAFingerprint is the SHA-256 of the CA's certificate in hex; a join token carries it.
func (id *Identity) CAFingerprint() string { return Fingerprint(id.shared.Load().trusted[0].Raw) }

// Fingerprint is the SHA-256 of a certificate (DER) in hex.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func fingerprint(pub *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("fingerprint the node's key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:16]), nil
}
