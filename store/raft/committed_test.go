package raft

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

// TestTheLogSaysHowFarItIsCommitted reads back what was given to be written, and beside it what was known then.
func TestTheLogSaysHowFarItIsCommitted(t *testing.T) {
	dir := t.TempDir()
	s, err := openLog(dir, smallSegment, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	mark := Fence{Term: 7, Epoch: 2}.extension()
	entry := func(index uint64, extension []byte) *hraft.Log {
		return &hraft.Log{Index: index, Term: 7, Data: []byte{byte(index)}, Extensions: extension}
	}
	for _, batch := range []struct {
		committed uint64
		entries   []*hraft.Log
	}{
		{0, []*hraft.Log{entry(1, nil)}},
		{1, []*hraft.Log{entry(2, nil)}},
		{2, []*hraft.Log{entry(3, mark), entry(4, mark), entry(5, mark)}},
	} {
		s.commit(batch.committed)
		if err := s.StoreLogs(batch.entries); err != nil {
			t.Fatal(err)
		}
		if last := batch.entries[len(batch.entries)-1]; len(last.Extensions) != 0 && !bytes.Equal(last.Extensions, mark) {
			t.Errorf("what is sent to others says %q", last.Extensions)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openLog(dir, smallSegment, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for index, want := range map[uint64]uint64{1: 0, 2: 1, 3: 0, 4: 0, 5: 2} {
		var l hraft.Log
		committed, err := s.get(index, &l)
		if err != nil || committed != want {
			t.Errorf("entry %d says that %d are committed (%v), want %d", index, committed, err, want)
		}
		extension := []byte(nil)
		if index > 2 {
			extension = mark
		}
		if !bytes.Equal(l.Extensions, extension) {
			t.Errorf("entry %d has the extensions %q", index, l.Extensions)
		}
	}
	if err := s.DeleteRange(4, 5); err != nil { // another leader has others there
		t.Fatal(err)
	}
	if err := s.StoreLog(entry(4, nil)); err != nil {
		t.Fatal(err)
	}
	var l hraft.Log
	if committed, err := s.get(4, &l); err != nil || committed != 0 {
		t.Errorf("a log that was just opened knows that %d are committed (%v)", committed, err)
	}
}

func TestTheNoteOfTheNewestCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), noteFile)
	n, err := openNote(path)
	if err != nil {
		t.Fatal(err)
	}
	if index, _, err := n.get(); err == nil {
		t.Errorf("a new one says %d", index)
	}
	for index := uint64(1); index < 1000; index++ {
		if err := n.set(index, 3); err != nil {
			t.Fatal(err)
		}
	}
	as, err := os.ReadFile(path) // as a process that is killed leaves it
	if err != nil {
		t.Fatal(err)
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	for damage, want := range map[string]bool{"none": true, "not written whole": false, "cut off": false} {
		left := bytes.Clone(as)
		switch damage {
		case "not written whole":
			left[7]++
		case "cut off":
			left = left[:noteSize-1]
		}
		if err := os.WriteFile(path, left, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := openNote(path)
		if err != nil {
			t.Fatal(err)
		}
		index, term, err := again.get()
		if ok := err == nil && index == 999 && term == 3; ok != want {
			t.Errorf("%s: entry %d of term %d, %v", damage, index, term, err)
		}
		if err := again.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestANoteOfAnotherLogIsNotBelieved has the entry that is noted be one of another term, or missing.
func TestANoteOfAnotherLogIsNotBelieved(t *testing.T) {
	for _, test := range []struct{ index, term, want uint64 }{{2, 1, 2}, {2, 2, 0}, {4, 1, 0}, {3, 1, 3}} {
		d, err := openDisk(t.TempDir(), smallSegment, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		for index := uint64(1); index <= 3; index++ {
			if err := d.log.StoreLog(&hraft.Log{Index: index, Term: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.commits.set(test.index, test.term); err != nil {
			t.Fatal(err)
		}
		d.readNote()
		if got := d.log.committed.Load(); got != test.want {
			t.Errorf("entry %d of term %d is noted: %d are committed, want %d", test.index, test.term, got, test.want)
		}
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
	}
}
