package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
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

// nest makes directories in each other, each with two files beside the next one.
func nest(t *testing.T, dir, name string, levels int) {
	t.Helper()
	fd, err := openDir(unix.AT_FDCWD, dir)
	for range levels {
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"a", "z"} {
			if err := unix.Mknodat(fd, file, unix.S_IFREG|0o600, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mkdirat(fd, name, 0o700); err != nil {
			t.Fatal(err)
		}
		above := fd
		fd, err = openDir(above, name)
		_ = unix.Close(above)
	}
	_ = unix.Close(fd)
}

// steps is a context that has something done at each step of a measurement.
type steps struct {
	context.Context
	do func()
}

func (s steps) Err() error {
	s.do()
	return s.Context.Err()
}

// TestMeasureWhatIsNestedDeep has directories whose path is longer than the kernel takes one, and more than may be open.
func TestMeasureWhatIsNestedDeep(t *testing.T) {
	for name, levels := range map[string]int{strings.Repeat("n", 255): 40, "d": 300} {
		dir := t.TempDir()
		nest(t, dir, name, levels)
		open := func() int {
			list, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		before, most := open(), 0
		got, err := Measure(steps{t.Context(), func() { most = max(most, open()-before) }}, dir)
		if err != nil || got.Inodes != int64(1+3*levels) {
			t.Errorf("%d levels: %d inodes, %v; want %d", levels, got.Inodes, err, 1+3*levels)
		}
		if most > keptFirst+keptLast+4 || open() > before+1 {
			t.Errorf("%d levels: up to %d descriptors, and %d at the end", levels, most, open()-before)
		}
	}
}

// TestMeasureWhatIsMoved has a directory moved while it is measured far below it: the way back is another.
func TestMeasureWhatIsMoved(t *testing.T) {
	const levels = 300
	dir := t.TempDir()
	nest(t, dir, "d", levels)
	name := func(level int) string { return dir + strings.Repeat("/d", level) }
	count := 0
	got, err := Measure(steps{t.Context(), func() {
		if count++; count != levels {
			return
		}
		if err := os.Rename(name(40), filepath.Join(dir, "moved")); err != nil {
			t.Error(err)
		}
	}}, dir)
	if err != nil || got.Inodes < 3*(levels-40) {
		t.Errorf("%d inodes, %v", got.Inodes, err)
	}
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
