package direct_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft-wal/types"

	"covey.dev/covey/store/raft/direct"
)

// TestAppend compares a file with what was appended to it, in pieces of all sizes, opened anew in between, and cut back to an
// earlier end as raft-wal does after a crash.
func TestAppend(t *testing.T) {
	for _, size := range []uint64{0, 1 << 20} {
		dir := t.TempDir()
		random := rand.New(rand.NewPCG(1, size))
		f, err := direct.New().Create(dir, "f", size)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for i := range 300 {
			if i%50 == 49 { // some of it is written again
				want = want[:len(want)-random.IntN(700)]
			}
			piece := make([]byte, 8*random.IntN(300))
			for i := range piece {
				piece[i] = byte(random.Uint32())
			}
			if n, err := f.WriteAt(piece, int64(len(want))); err != nil || n != len(piece) {
				t.Fatal(n, err)
			}
			want = append(want, piece...)
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			check(t, f, want)
			if i%20 == 19 {
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				if f, err = direct.New().OpenWriter(dir, "f"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := direct.New().OpenReader(dir, "f")
		if err != nil {
			t.Fatal(err)
		}
		check(t, r, want)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func check(t *testing.T, r types.ReadableFile, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := r.ReadAt(got, 0); err != nil && (!errors.Is(err, io.EOF) || n < len(want)) {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the file has something else")
	}
	behind := make([]byte, 16)
	if n, _ := r.ReadAt(behind, int64(len(want))); bytes.Count(behind[:n], []byte{0}) != n {
		t.Fatal("what follows is not zero")
	}
}
