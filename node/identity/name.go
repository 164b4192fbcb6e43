package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// nameFile has the name that a server has in its cluster; a worker's is in its certificate.
const nameFile = "name"

// apiNames are what clients in the cluster may call the API.
var apiNames = []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc"}

// CheckWorkerName says why no worker may have a name, for which its certificate would be good.
func CheckWorkerName(name string) error {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return fmt.Errorf("a node cannot be called %q: %s", name, strings.Join(problems, "; "))
	}
	if slices.Contains(apiNames, name) || strings.HasPrefix(name, "kubernetes.default.svc.") {
		return fmt.Errorf("%s is a name of the API: start this worker with another --node-name", name)
	}
	return nil
}

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
