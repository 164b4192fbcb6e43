package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAnEmptyDataDirIsNotTheClusterThatRuns: a script's variable that is not set must not have another cluster restored than was meant.
func TestAnEmptyDataDirIsNotTheClusterThatRuns(t *testing.T) {
	api := serve(t)
	file := filepath.Join(t.TempDir(), "covey.backup")
	if err := os.WriteFile(file, []byte("state"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"backup", "--data-dir=", file}, {"restore", "--data-dir", "", file}, {"recover", "--data-dir", "", "--yes"}} {
		covey(t, "", args...).want(t, 1, "", "error: --data-dir: it is empty: want a directory\n")
	}
	if len(api.requests) > 0 {
		t.Errorf("asked for %v", api.requests)
	}
}
