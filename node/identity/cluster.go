package identity

import (
	"fmt"
	"os"
	"path/filepath"
)

// Exists reports whether dir has a cluster's identity, of this node's own making or joined.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, keysFile))
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

// Adopt makes the cluster that these keys are of the one that the identity in dir belongs to. They are written last: until they
// are there, Exists says no, and the node joins again.
func Adopt(dir string, keys Keys) error {
	if _, err := keys.open(); err != nil {
		return fmt.Errorf("the cluster's keys: %w", err)
	}
	if err := writeFile(filepath.Join(dir, joinedFile), nil); err != nil {
		return fmt.Errorf("write that the node joined: %w", err)
	}
	return writeKeys(dir, keys)
}
