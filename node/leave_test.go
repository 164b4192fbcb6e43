package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestANodeThatWasKilledWhileItLeftForgetsItsCluster: a server's disk has the state and the CA's key.
func TestANodeThatWasKilledWhileItLeftForgetsItsCluster(t *testing.T) {
	dir := t.TempDir()
	if err := checkLeft(dir); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"store/raft.db", "identity/cluster.json", "identity/node.key", "admin.kubeconfig"} {
		file = filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, leftFile), []byte(leftText), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := checkLeft(dir); !errors.Is(err, ErrLeft) {
			t.Errorf("error %v", err)
		}
	}
	for file, stays := range map[string]bool{"store": false, "identity/cluster.json": false, "admin.kubeconfig": false, "identity/node.key": true} {
		if _, err := os.Stat(filepath.Join(dir, file)); (err == nil) != stays {
			t.Errorf("%s: %v, want it there: %v", file, err, stays)
		}
	}
}
