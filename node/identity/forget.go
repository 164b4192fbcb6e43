package identity

import (
	"fmt"
	"os"
	"path/filepath"
)

// Forget removes the cluster from the identity in dir, and leaves the node's key. Its keys go first: without it Exists
// says no.
func Forget(dir string) error {
	for _, name := range []string{keysFile, certFile, joinedFile, nameFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("forget the cluster: %w", err)
		}
	}
	return nil
}

// SetJoined has the node of the identity in dir wait to be made a member of its cluster, also if it began that itself.
func SetJoined(dir string) error {
	if err := writeFile(filepath.Join(dir, joinedFile), nil); err != nil {
		return fmt.Errorf("give up the cluster's state: %w", err)
	}
	return nil
}
