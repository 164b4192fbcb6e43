package service

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheLogStaysSmall where the file is the one of the service, which others have open too.
func TestTheLogStaysSmall(t *testing.T) {
	dir := t.TempDir()
	path, old := filepath.Join(dir, "covey.log"), filepath.Join(dir, "covey.log.1")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	log := smallLog(file, path, old, 100)
	for i := range 30 {
		if _, err := fmt.Fprintf(log, "line %2d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	all := ""
	for _, name := range []string{old, path} {
		content, err := os.ReadFile(name)
		if err != nil || len(content) > 100 {
			t.Errorf("%s has %d bytes: %v", name, len(content), err)
		}
		all += string(content)
	}
	if !strings.HasPrefix(all, "line 12\n") || !strings.HasSuffix(all, "line 29\n") {
		t.Errorf("left are\n%s", all)
	}
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(old, 0o700); err != nil { // nothing can be kept there
		t.Fatal(err)
	}
	if _, err := io.WriteString(log, strings.Repeat("x", 50)); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 100 {
		t.Errorf("the log has %d bytes: %v", info.Size(), err)
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "covey.log")
	service, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600) // not to the end of it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = service.Close() }()
	another, err := os.OpenFile(filepath.Join(dir, "another"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = another.Close() }()
	for _, file := range []*os.File{service, another} {
		if got := smallLog(file, path, path+".1", 1); got != file {
			t.Errorf("%s is taken for the service's", file.Name())
		}
	}
}
