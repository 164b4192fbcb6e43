package raft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"covey.dev/covey/store/boltfile"
)

// oldDirectory is as versions of covey left it that had the log in raft.db.
func oldDirectory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"), BoltOptions: boltfile.Options()})
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(100); i <= 3000; i++ {
		if err := bolt.StoreLog(oldEntry(i)); err != nil {
			t.Fatal(err)
		}
		if i == 110 { // the rest in one go
			var rest []*hraft.Log
			for i++; i <= 3000; i++ {
				rest = append(rest, oldEntry(i))
			}
			if err := bolt.StoreLogs(rest); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(bolt.SetUint64([]byte("CurrentTerm"), 7), bolt.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func oldEntry(i uint64) *hraft.Log {
	return &hraft.Log{Index: i, Term: 3, Type: hraft.LogCommand, Data: fmt.Appendf(nil, "entry %2000d", i)}
}

// expectMoved opens the directory and compares it with what oldDirectory wrote.
func expectMoved(t *testing.T, dir string) {
	t.Helper()
	d, err := openDisk(dir, segmentSize, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	first, _ := d.log.FirstIndex()
	last, err := d.log.LastIndex()
	if first != 100 || last != 3000 || err != nil {
		t.Fatalf("the log goes from %d to %d, %v", first, last, err)
	}
	for i := first; i <= last; i++ {
		var got hraft.Log
		if err := d.log.GetLog(i, &got); err != nil || got.Index != i || got.Term != 3 || string(got.Data) != string(oldEntry(i).Data) {
			t.Fatalf("entry %d: %+v, %v", i, got, err)
		}
	}
	if term, err := d.stable.GetUint64([]byte("CurrentTerm")); term != 7 || err != nil {
		t.Errorf("term %d, %v", term, err)
	}
	if left, err := d.stable.LastIndex(); left != 0 || err != nil {
		t.Errorf("raft.db still has entry %d, %v", left, err)
	}
}

func TestMoveLog(t *testing.T) {
	dir := oldDirectory(t)
	expectMoved(t, dir)
	expectMoved(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	if _, err := openDisk(dir, segmentSize, hclog.NewNullLogger()); !errors.Is(err, boltfile.ErrDamaged) {
		t.Errorf("without its log: %v", err)
	}
}

func TestMoveLogGoesOnAfterACrash(t *testing.T) {
	t.Run("while it was copied", func(t *testing.T) {
		dir := oldDirectory(t)
		unfinished, err := openLogIn(filepath.Join(dir, "log.new"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(unfinished.StoreLog(oldEntry(100)), unfinished.Close()); err != nil {
			t.Fatal(err)
		}
		expectMoved(t, dir)
	})
	t.Run("before it was deleted where it was", func(t *testing.T) {
		dir := oldDirectory(t)
		db, err := openStable(filepath.Join(dir, "raft.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(copyLog(db, filepath.Join(dir, "log"), segmentSize, hclog.NewNullLogger()), db.Close()); err != nil {
			t.Fatal(err)
		}
		expectMoved(t, dir)
	})
}

func openLogIn(dir string) (*segments, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return openLog(dir, segmentSize, hclog.NewNullLogger())
}
