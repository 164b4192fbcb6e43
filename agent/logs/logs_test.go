package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func read(t *testing.T, path string, o ReadOptions) string {
	t.Helper()
	var out bytes.Buffer
	if err := Read(t.Context(), path, o, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func ptr(n int64) *int64 { return &n }

func TestLinesComeBackAsTheyWere(t *testing.T) {
	long := strings.Repeat("x", 3*MaxContent+7)
	for name, text := range map[string]string{
		"lines":          "one\ntwo\n\nfour\n",
		"no end":         "one\ntwo",
		"longer than 16": "a\n" + long + "\nb\n",
		"exactly 16 KiB": strings.Repeat("y", MaxContent) + "\nz\n",
		"binary":         "\x00\xff\r\x1b[0m\n",
		"nothing":        "",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sub", "0.log")
			w := NewWriter(path, WriterOptions{})
			if err := w.Copy(Stdout, strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			w.Close()
			var out bytes.Buffer
			err := Read(t.Context(), path, ReadOptions{}, &out)
			if text == "" && errors.Is(err, os.ErrNotExist) {
				return
			}
			if err != nil || out.String() != text {
				t.Errorf("read %d bytes (%v), wrote %d", out.Len(), err, len(text))
			}
		})
	}
}

// TestSelection reads one log of ten lines, half of them on each stream and one second apart, that is spread over
// several files.
func TestSelection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := NewWriter(path, WriterOptions{MaxBytes: 100, MaxFiles: 9, Now: func() time.Time { return now }})
	for i := range 10 {
		stream := Stdout
		if i%2 == 1 {
			stream = Stderr
		}
		if err := w.Copy(stream, strings.NewReader(fmt.Sprintf("line %d\n", i))); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	w.Close()
	if _, err := os.Stat(path + ".3"); err != nil {
		t.Fatalf("the log was not rotated: %v", err)
	}
	want := func(numbers ...int) (s string) {
		for _, n := range numbers {
			s += fmt.Sprintf("line %d\n", n)
		}
		return s
	}
	for name, c := range map[string]struct {
		opts ReadOptions
		want string
	}{
		"all":            {ReadOptions{}, want(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)},
		"tail":           {ReadOptions{TailLines: ptr(3)}, want(7, 8, 9)},
		"tail all":       {ReadOptions{TailLines: ptr(99)}, want(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)},
		"tail none":      {ReadOptions{TailLines: ptr(0)}, ""},
		"since":          {ReadOptions{Since: now.Add(-2 * time.Second)}, want(8, 9)},
		"tail and since": {ReadOptions{TailLines: ptr(5), Since: now.Add(-2 * time.Second)}, want(8, 9)},
		"stderr":         {ReadOptions{Stream: Stderr}, want(1, 3, 5, 7, 9)},
		"stdout's tail":  {ReadOptions{Stream: Stdout, TailLines: ptr(2)}, want(6, 8)},
		"limit":          {ReadOptions{LimitBytes: ptr(10)}, "line 0\nlin"},
		"timestamps":     {ReadOptions{TailLines: ptr(1), Timestamps: true}, "2026-01-02T03:04:14Z line 9\n"},
	} {
		t.Run(name, func(t *testing.T) {
			// The files' times are now, the lines' are not: only the lines' count.
			if got := read(t, path, c.opts); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRotationKeepsTheNewestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	w := NewWriter(path, WriterOptions{MaxBytes: 1000, MaxFiles: 3})
	for i := range 1000 {
		if err := w.Copy(Stdout, strings.NewReader(fmt.Sprintf("line %d\n", i))); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v (%v), want 3", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1000 {
			t.Errorf("%s: %d bytes (%v), want at most 1000", f, info.Size(), err)
		}
	}
	if got := read(t, path, ReadOptions{TailLines: ptr(1)}); got != "line 999\n" {
		t.Errorf("the last line is %q", got)
	}
}

func TestAfterATornEntryALineBegins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte("2026-01-02T03:04:05Z stdout F one\n2026-01-02T03:0"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := NewWriter(path, WriterOptions{})
	if err := w.Copy(Stdout, strings.NewReader("two\n")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got := read(t, path, ReadOptions{}); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
}

// TestShortLinesStayWhole writes many lines in pieces that do not end with them.
func TestShortLinesStayWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	w := NewWriter(path, WriterOptions{})
	if err := w.Copy(Stdout, strings.NewReader(strings.Repeat("a line of twenty-one\n", 10_000))); err != nil {
		t.Fatal(err)
	}
	w.Close()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(content, []byte(" F a line of twenty-one\n")); n != 10_000 {
		t.Errorf("%d whole lines, want 10000", n)
	}
}

// TestFollow reads while lines are written over many rotations, and ends with the container.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	const lines = 5000
	w := NewWriter(path, WriterOptions{MaxBytes: 64 << 10, MaxFiles: 50})
	from, to := io.Pipe()
	var want bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&want, "line %d of those that are followed over rotations\n", i)
	}
	ended := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer close(ended)
		defer w.Close()
		if err := w.Copy(Stdout, from); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		_, err := to.Write(want.Bytes())
		to.CloseWithError(err)
	})
	var out bytes.Buffer
	if err := Read(t.Context(), path, ReadOptions{Follow: true, Ended: ended}, &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want.String() {
		t.Errorf("got %d bytes, want %d", out.Len(), want.Len())
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := Read(ctx, filepath.Join(t.TempDir(), "none.log"), ReadOptions{Follow: true}, io.Discard)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := Read(t.Context(), filepath.Join(t.TempDir(), "none.log"), ReadOptions{}, io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading an absent log: %v", err)
	}
}

// TestAFullDiskIsNoObstacle writes to /dev/full, then to a good file.
func TestAFullDiskIsNoObstacle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	var warnings []string
	w := NewWriter(path, WriterOptions{Warn: func(err error) { warnings = append(warnings, err.Error()) }})
	for range 100 {
		if err := w.Copy(Stdout, strings.NewReader("lost\n")); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := w.Copy(Stdout, strings.NewReader("kept\n")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if len(warnings) != 2 {
		t.Errorf("warned %d times, want twice: %q", len(warnings), warnings)
	}
	if got := read(t, path, ReadOptions{}); got != "kept\n" {
		t.Errorf("got %q", got)
	}
}
