package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzRead reads any files as a log: that ends, keeps to its limits, and gives the same lines in whichever way it is asked.
func FuzzRead(f *testing.F) {
	at := "2024-01-02T03:04:05.123456789Z"
	for _, seed := range []string{
		at + " stdout F hello\n" + at + " stderr P half\n" + at + " stderr F whole\n",
		at + " stdout F " + strings.Repeat("x", 40_000) + "\n", "no entry\n" + at + " stdout F a", "\n\n\x00\n", at + " stdout\n", at + " stdout P \n",
		"9999-99-99T00:00:00Z stdout F a\n" + at + " stdin F b\n" + at + " stdout Fx:y c\r\n",
	} {
		f.Add([]byte(seed), []byte(at+" stdout F old\n"), int64(2), int64(100), false)
		f.Add([]byte(seed), []byte{}, int64(0), int64(0), true)
	}
	f.Fuzz(func(t *testing.T, now, before []byte, tail, limit int64, timestamps bool) {
		path := filepath.Join(t.TempDir(), "0.log")
		for name, content := range map[string][]byte{path: now, rotated(path, 1): before} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		get := func(o ReadOptions) []byte {
			t.Helper()
			var out bytes.Buffer
			if err := Read(t.Context(), path, o, &out); err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
			return out.Bytes()
		}
		all := get(ReadOptions{Timestamps: timestamps})
		// Of a terminal or one stream there is no line between the pieces of another.
		if got := get(ReadOptions{Timestamps: timestamps, LimitBytes: &limit}); !bytes.HasPrefix(all, got) || int64(len(got)) != max(0, min(limit, int64(len(all)))) {
			t.Errorf("with a limit of %d: %d bytes %q of %q", limit, len(got), got, all)
		}
		if got := get(ReadOptions{Timestamps: timestamps, TailLines: &tail}); !bytes.HasSuffix(all, got) {
			t.Errorf("the last %d lines are %q, all are %q", tail, got, all)
		}
		if got := get(ReadOptions{Since: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}); len(got) > 0 {
			t.Errorf("from the future: %q", got)
		}
	})
}

// FuzzWrite writes any output in pieces, over rotations, and reads it as it was.
func FuzzWrite(f *testing.F) {
	f.Add([]byte("hello\nworld\n"), uint16(3))
	f.Add([]byte("\n\n\x00\xff\r\nno end"), uint16(1))
	f.Add(bytes.Repeat([]byte("0123456789"), 5000), uint16(7000))
	f.Fuzz(func(t *testing.T, output []byte, piece uint16) {
		path := filepath.Join(t.TempDir(), "0.log")
		w := NewWriter(path, WriterOptions{MaxBytes: 100_000, MaxFiles: 100, Warn: func(err error) { t.Error(err) }})
		if err := w.Copy(Stdout, &pieces{output, int(piece)%8192 + 1}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if len(output) == 0 {
			return
		}
		var got bytes.Buffer
		if err := Read(t.Context(), path, ReadOptions{}, &got); err != nil {
			t.Fatal(err)
		}
		want := string(output)
		if !strings.HasSuffix(want, "\n") && strings.HasSuffix(got.String(), "\n") {
			want += "\n"
		}
		if got.String() != want {
			t.Errorf("written %q, read %q", want, got.String())
		}
	})
}

// pieces is read in pieces of so many bytes.
type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	n := min(len(b), p.size, len(p.rest))
	if n == 0 {
		return bytes.NewReader(nil).Read(b)
	}
	copy(b, p.rest[:n])
	p.rest = p.rest[n:]
	return n, nil
}
