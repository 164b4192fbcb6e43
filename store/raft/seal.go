package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/segment"
	waltypes "github.com/hashicorp/raft-wal/types"
)

// When a segment of the log is full raft-wal ends it with an index, in one write with the entries that fill it, and then notes in its
// own file that another begins. A process that is killed between the two leaves a full segment that counts as the one to
// append to, and raft-wal refuses every later write: "segment is sealed". So that is seen to before it opens the log.

// finishSeal notes what was not noted, or takes an index away that was not written to its end.
func finishSeal(dir string, meta waltypes.MetaStore) error {
	state, err := meta.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return err
	}
	tail := &state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return nil
	}
	path := filepath.Join(dir, segment.FileName(*tail))
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was noted, and raft-wal makes it
	} else if err != nil {
		return fmt.Errorf("read the log's last segment: %w", err)
	}
	found := readSegment(content)
	switch {
	case found.index == 0:
		return nil
	case found.index > found.end:
		return blank(path, found.end, int64(len(content)))
	}
	tail.SealTime, tail.IndexStart, tail.MaxIndex = time.Now(), uint64(found.index), tail.BaseIndex+found.entries-1
	next := waltypes.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: tail.MaxIndex + 1, MinIndex: tail.MaxIndex + 1,
		SizeLimit: tail.SizeLimit, Codec: tail.Codec, CreateTime: time.Now(),
	}
	state.NextSegmentID++
	state.Segments = append(state.Segments, next)
	if err := meta.CommitState(state); err != nil {
		return fmt.Errorf("note that segment %s of the log is full: %w", path, err)
	}
	return nil
}

// The format of a segment: a header and frames, each with a header of a type, three bytes of nothing, and the length of what
// follows, or for a commit the checksum of all since the last one. Frames begin at multiples of eight.
const (
	segmentHeader = 32
	frameHeader   = 8
)

// segmentContent is what is committed of a segment.
type segmentContent struct {
	entries uint64 // how many
	end     int64  // behind the last commit; 0 when there is none
	index   int64  // where the newest index begins, committed if before end; 0 when there is none
}

func readSegment(content []byte) (found segmentContent) {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	entries := uint64(0)
	for at := int64(segmentHeader); at+frameHeader <= int64(len(content)); {
		length := int64(binary.LittleEndian.Uint32(content[at+4:]))
		switch content[at] {
		case segment.FrameEntry:
			entries++
		case segment.FrameIndex:
			found.index = at + frameHeader
		case segment.FrameCommit:
			if crc32.Checksum(content[found.end:at], castagnoli) != uint32(length) { //nolint:gosec // it was read as one
				return found
			}
			found.entries, found.end, length = entries, at+frameHeader, 0
		default:
			return found
		}
		at += frameHeader + (length+frameHeader-1)/frameHeader*frameHeader
	}
	return found
}

// blank overwrites what nobody was told of.
func blank(path string, from, to int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the log's last segment: %w", err)
	}
	_, err = io.Copy(io.NewOffsetWriter(f, from), io.LimitReader(zeros{}, to-from))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("take an index from the log's last segment %s that was not written whole: %w", path, err)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
