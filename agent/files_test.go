package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAFileThatAContainerFilledIsReplaced has it larger than memory.
func TestAFileThatAContainerFilledIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte("localhost\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !hasOnly(path, "localhost\n") || hasOnly(path, "localhost") || hasOnly(path, "localhost\n\n") || hasOnly(path+"2", "") {
		t.Error("the content is not compared")
	}
	if err := os.Truncate(path, 1<<42); err != nil {
		t.Fatal(err)
	}
	if hasOnly(path, "localhost\n") {
		t.Error("it counts as the same")
	}
}
