package volume

import (
	"fmt"
	"os"
	"path/filepath"
)

// SubPath resolves a path inside a volume and refuses to leave it by a link. A directory is made where there is nothing.
// What it returns is a path below root with no link in it.
func SubPath(root, sub string) (string, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	if _, err := r.Stat(sub); os.IsNotExist(err) {
		if err := r.MkdirAll(sub, 0o755); err != nil {
			return "", fmt.Errorf("create subPath %q: %w", sub, err)
		}
	} else if err != nil {
		return "", fmt.Errorf("subPath %q: %w", sub, err)
	}
	// os.Root has refused every link that leads out; what is left can be resolved.
	resolved, err := filepath.EvalSymlinks(filepath.Join(root, sub))
	if err != nil {
		return "", fmt.Errorf("resolve subPath %q: %w", sub, err)
	}
	return resolved, nil
}
