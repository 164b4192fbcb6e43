package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

// TestABackupTakesTheRightPlace: as root a device or a link would be replaced like any file.
func TestABackupTakesTheRightPlace(t *testing.T) {
	api := serve(t)
	api.reply("GET /covey/backup", 200, "new")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("file"), []byte("old one"), 0o600))
	must(os.Symlink("file", at("link")))
	must(os.Mkdir(at("disk"), 0o700))
	must(os.Symlink("disk", at("mounted")))
	must(os.Symlink("../later", at("disk/next"))) // beside the disk, by whatever name the disk is called
	must(os.Symlink(at("mounted/next"), at("dangling")))
	must(os.Symlink("none/file", at("nowhere")))
	must(os.Symlink("circle", at("circle")))
	must(unix.Mkfifo(at("pipe"), 0o600))
	must(os.Symlink("pipe", at("to-pipe")))
	pipe, err := os.OpenFile(at("pipe"), os.O_RDWR, 0)
	must(err)
	defer func() { _ = pipe.Close() }()

	for _, name := range []string{"fresh", "link", "file", "dangling"} {
		covey(t, "", "backup", at(name)).want(t, 0, "Saved the state in "+at(name)+" (3 B)\n", "")
	}
	for _, name := range []string{"pipe", "to-pipe"} {
		covey(t, "", "backup", at(name)).want(t, 0, "", "")
		text := make([]byte, 3)
		_, err := io.ReadFull(pipe, text)
		must(err)
		if string(text) != "new" {
			t.Errorf("%s: %q came", name, text)
		}
	}
	for name, want := range map[string]string{"nowhere": "no such file", "circle": "too many links"} {
		if got := covey(t, "", "backup", at(name)); got.status == 0 || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v, want %q", name, got, want)
		}
	}
	types := map[string]os.FileMode{
		"fresh": 0, "file": 0, "later": 0, "pipe": os.ModeNamedPipe,
		"link": os.ModeSymlink, "dangling": os.ModeSymlink, "disk/next": os.ModeSymlink, "to-pipe": os.ModeSymlink,
	}
	for name, typ := range types {
		info, err := os.Lstat(at(name))
		must(err)
		if info.Mode().Type() != typ {
			t.Errorf("%s is a file of the mode %v now", name, info.Mode())
		}
	}
	text, err := os.ReadFile(at("file"))
	must(err)
	if string(text) != "new" {
		t.Errorf("the file has %q", text)
	}
}
