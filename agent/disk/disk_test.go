package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func write(t *testing.T, file string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	empty, err := Measure(t.Context(), dir)
	if err != nil || empty.Inodes != 1 {
		t.Fatalf("an empty directory: %+v, %v", empty, err)
	}
	write(t, filepath.Join(dir, "a"), 1<<20)
	write(t, filepath.Join(dir, "sub/b"), 1<<20)
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "sub/again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "root")); err != nil {
		t.Fatal(err)
	}
	sparse := filepath.Join(dir, "sparse")
	write(t, sparse, 0)
	if err := os.Truncate(sparse, 1<<30); err != nil {
		t.Fatal(err)
	}
	got, err := Measure(t.Context(), dir)
	if err != nil || got.Inodes != 6 || got.Bytes < 2<<20 || got.Bytes > 2<<20+64<<10 {
		t.Errorf("%+v, %v: want two files of 1 MiB, and 6 inodes", got, err)
	}
	if gone, err := Measure(t.Context(), filepath.Join(dir, "none")); err != nil || gone != (Usage{}) {
		t.Errorf("a directory that is not there: %+v, %v", gone, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ended, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// TestMeasureWhatChanges measures a directory in which files come and go.
func TestMeasureWhatChanges(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			sub := filepath.Join(dir, fmt.Sprint(i%10))
			_ = os.MkdirAll(sub, 0o755)
			_ = os.WriteFile(filepath.Join(sub, "file"), []byte("x"), 0o600)
			_ = os.RemoveAll(filepath.Join(dir, fmt.Sprint((i+5)%10)))
		}
	})
	for range 300 {
		if _, err := Measure(t.Context(), dir); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	changing.Wait()
}

func TestSpaceAt(t *testing.T) {
	space, err := SpaceAt(t.TempDir())
	if err != nil || space.Bytes <= 0 || space.FreeBytes > space.Bytes {
		t.Errorf("%+v, %v", space, err)
	}
	if _, err := SpaceAt("/no/such/path"); err == nil {
		t.Error("a path that is not there has space")
	}
}
