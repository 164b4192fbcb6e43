package raft

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// smallDisk is a directory on a disk of that many bytes, and fills it up or makes room again.
func smallDisk(t *testing.T, size int64) (dir string, fill, empty func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a disk")
	}
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	rest := filepath.Join(dir, "rest")
	fill = func() {
		t.Helper()
		f, err := os.Create(rest)
		if err != nil {
			t.Fatal(err)
		}
		for page := make([]byte, 4096); err == nil; {
			_, err = f.Write(page)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir, fill, func() {
		t.Helper()
		if err := os.Remove(rest); err != nil {
			t.Fatal(err)
		}
	}
}

func entriesOf(term, from, to uint64) (list []*hraft.Log) {
	for i := from; i <= to; i++ {
		list = append(list, &hraft.Log{Index: i, Term: term, Data: []byte("entry")})
	}
	return list
}

func termsIn(t *testing.T, s *segments) (terms []uint64) {
	t.Helper()
	first, err := s.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i <= last; i++ {
		var entry hraft.Log
		if err := s.GetLog(i, &entry); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		terms = append(terms, entry.Term)
	}
	return terms
}

// TestAnotherLeadersEntriesOnAFullDisk take the place of the log's end once there is room again.
func TestAnotherLeadersEntriesOnAFullDisk(t *testing.T) {
	for _, since := range []string{"before the deletion", "before the entries"} {
		t.Run(since, func(t *testing.T) {
			dir, fill, empty := smallDisk(t, 2<<20)
			dir = filepath.Join(dir, "log")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s, err := openLog(dir, 64<<10, hclog.NewNullLogger())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			if err := s.StoreLogs(entriesOf(1, 1, 10)); err != nil {
				t.Fatal(err)
			}
			if since == "before the deletion" {
				fill()
			}
			if err := s.DeleteRange(6, 10); err != nil {
				t.Fatal(err)
			}
			if since == "before the entries" {
				fill()
			}
			others := entriesOf(2, 6, 8)
			others[0].Data = make([]byte, 256<<10)
			tries, reopen := make(chan struct{}, 100), s.reopen
			s.reopen = func() (*segments, error) {
				tries <- struct{}{}
				return reopen()
			}
			written := make(chan error, 1)
			go func() { written <- s.StoreLogs(others) }()
			for range 2 { // the log is opened again after a failure
				<-tries
			}
			empty()
			if err := <-written; err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(termsIn(t, s)); got != "[1 1 1 1 1 2 2 2]" {
				t.Errorf("the terms in the log are %s", got)
			}
		})
	}
}

// TestAFullDiskTakesNoEntry is said at once where nothing was deleted, and when Raft is shut down.
func TestAFullDiskTakesNoEntry(t *testing.T) {
	dir, fill, _ := smallDisk(t, 1<<20)
	stop := make(chan struct{})
	s, err := openLog(dir, 64<<10, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.stop = stop
	if err := s.StoreLogs(entriesOf(1, 1, 2)); err != nil {
		t.Fatal(err)
	}
	fill()
	large := entriesOf(1, 3, 3)
	large[0].Data = make([]byte, 256<<10)
	if err := s.StoreLogs(large); err == nil {
		t.Error("a full disk takes an entry")
	}
	if err := s.DeleteRange(2, 2); err != nil {
		t.Fatal(err)
	}
	close(stop)
	large[0].Index = 2
	if err := s.StoreLogs(large); err == nil {
		t.Error("a full disk takes an entry")
	}
	if got := fmt.Sprint(termsIn(t, s)); got != "[1]" {
		t.Errorf("the terms in the log are %s", got)
	}
}
