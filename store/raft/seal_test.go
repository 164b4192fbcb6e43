package raft

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	waltypes "github.com/hashicorp/raft-wal/types"

	wal "github.com/hashicorp/raft-wal"

	"covey.dev/covey/store/raft/direct"
)

const smallSegment = 64 << 10

// fill writes a log of one segment that is full, which a process that was killed then did not note, and returns its file and how
// many entries were acknowledged before the last.
func fill(t *testing.T, dir string) (file string, before uint64) {
	t.Helper()
	info := waltypes.SegmentInfo{ID: 1, BaseIndex: 1, MinIndex: 1, SizeLimit: smallSegment, Codec: wal.CodecBinaryV1, CreateTime: time.Now()}
	meta := &metadb.BoltMetaDB{}
	if _, err := meta.Load(dir); err != nil {
		t.Fatal(err)
	}
	if err := meta.CommitState(waltypes.PersistentState{NextSegmentID: 2, Segments: []waltypes.SegmentInfo{info}}); err != nil {
		t.Fatal(err)
	}
	w, err := segment.NewFiler(dir, direct.New()).Create(info)
	if err != nil {
		t.Fatal(err)
	}
	for index := uint64(1); ; index++ {
		data := encoded(t, index)
		if err := w.Append([]waltypes.LogEntry{{Index: index, Data: data}}); err != nil {
			t.Fatal(err)
		}
		if full, _, err := w.Sealed(); err != nil {
			t.Fatal(err)
		} else if full {
			before = index - 1
			break
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := meta.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, segment.FileName(info)), before
}

func encoded(t *testing.T, index uint64) []byte {
	t.Helper()
	var codec wal.BinaryCodec
	var data []byte
	w := writer(func(p []byte) { data = append(data, p...) })
	if err := codec.Encode(&hraft.Log{Index: index, Term: 1, Data: fmt.Appendf(nil, "entry %d %01000d", index, index)}, w); err != nil {
		t.Fatal(err)
	}
	return data
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// TestAKillBetweenASegmentsEndAndItsNote opens a log as such a kill leaves it, and one where power was cut in the last write.
func TestAKillBetweenASegmentsEndAndItsNote(t *testing.T) {
	for name, test := range map[string]struct {
		tear func(t *testing.T, content []byte, at segmentContent)
		lost uint64
	}{
		"killed":                    {tear: func(*testing.T, []byte, segmentContent) {}},
		"the commit is missing":     {lost: 1, tear: func(_ *testing.T, content []byte, at segmentContent) { clear(content[at.end-frameHeader:]) }},
		"the index is not whole":    {lost: 1, tear: func(_ *testing.T, content []byte, at segmentContent) { clear(content[at.index+8 : at.index+16]) }},
		"the last entry is damaged": {lost: 1, tear: func(_ *testing.T, content []byte, at segmentContent) { content[at.index-200] ^= 0xff }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, before := fill(t, dir)
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			at := readSegment(content)
			if at.index == 0 || at.index > at.end || at.entries != before+1 {
				t.Fatalf("read %+v of a full segment of %d entries", at, before+1)
			}
			test.tear(t, content, at)
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			there := before + 1 - test.lost
			for range 3 { // and again after a start without any fault
				s, err := openLog(dir, smallSegment, hclog.NewNullLogger())
				if err != nil {
					t.Fatal(err)
				}
				if last, err := s.LastIndex(); err != nil || last != there {
					t.Fatalf("the last entry is %d (%v), want %d", last, err, there)
				}
				for index := uint64(1); index <= there; index++ {
					var entry hraft.Log
					if err := s.GetLog(index, &entry); err != nil || string(entry.Data) != fmt.Sprintf("entry %d %01000d", index, index) {
						t.Fatalf("entry %d: %.20q, %v", index, entry.Data, err)
					}
				}
				there++
				if err := s.StoreLog(&hraft.Log{Index: there, Term: 1, Data: fmt.Appendf(nil, "entry %d %01000d", there, there)}); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
