package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// nameFile has the name that a server has in its cluster; a worker's is in its certificate.
const nameFile = "name"

// Name is the node's name in the cluster of the identity in dir; empty where that does not say.
func Name(dir string) (string, error) {
	if IsWorker(dir) {
		cert, err := readCert(filepath.Join(dir, certFile))
		if err != nil {
			return "", fmt.Errorf("read the worker's certificate: %w", err)
		}
		node, err := describe(cert)
		return node.Name, err
	}
	name, err := os.ReadFile(filepath.Join(dir, nameFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the node's name: %w", err)
	}
	return strings.TrimSpace(string(name)), nil
}

// SetName remembers it.
func SetName(dir, name string) error {
	if err := writeFile(filepath.Join(dir, nameFile), []byte(name+"\n")); err != nil {
		return fmt.Errorf("remember the node's name: %w", err)
	}
	return nil
}
