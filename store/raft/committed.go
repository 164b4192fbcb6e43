package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"golang.org/x/sys/unix"

	"covey.dev/covey/store/boltfile"
)

// How far the log is committed a server is told by its leader, and hashicorp/raft remembers it in memory only. (Its
// RestoreCommittedLogs loses the members that are named in the entries it restores, and stops for ever over more than 8192.) A server
// that starts while it is cut off would not know that it may show, and run, what the last entries say. So two notes are kept of it,
// and what they vouch for is applied before Raft is started, which learns nothing of it:
//
//   - What is written to the log ends with how far it was committed by then. It is as durable as the log and costs no write, but
//     says nothing about the last write itself.
//   - A page of memory that a file backs has the newest. A killed process leaves it to the kernel, which writes it within half a minute,
//     when nobody waits for it. Storing into it is no system call.
//
// Both are of entries that this server has on its disk and has applied, so neither is ever ahead of what is committed.

// trailer ends the extensions of what is written last at a time: magic, and eight bytes, big endian.
const (
	trailerMagic = "\x00covey:c"
	trailerSize  = len(trailerMagic) + 8
)

func withTrailer(extension []byte, committed uint64) []byte {
	tagged := make([]byte, 0, len(extension)+trailerSize)
	tagged = append(append(tagged, extension...), trailerMagic...)
	return binary.BigEndian.AppendUint64(tagged, committed)
}

// cutTrailer returns what came before the trailer, and 0 where there is none.
func cutTrailer(extension []byte) (rest []byte, committed uint64) {
	at := len(extension) - trailerSize
	if at < 0 || string(extension[at:at+len(trailerMagic)]) != trailerMagic {
		return extension, 0
	}
	committed = binary.BigEndian.Uint64(extension[at+len(trailerMagic):])
	if at == 0 {
		return nil, committed
	}
	return extension[:at], committed
}

// note is the page. Index, term and a checksum are eight bytes each, big endian.
type note struct {
	path string
	page []byte // nil: it is not kept
}

const (
	noteFile = "committed"
	noteSize = 24
	notePage = 4096
)

var errNoNote = errors.New("no commit is noted")

func openNote(path string) (*note, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < notePage {
		// So that the disk has room for it.
		if _, err := f.WriteAt(make([]byte, notePage-info.Size()), info.Size()); err != nil {
			return nil, err
		}
	}
	page, err := unix.Mmap(int(f.Fd()), 0, notePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &note{path: path, page: page}, nil
}

// set fails on a disk that takes no writes any more, and is not to be called again then.
func (n *note) set(index, term uint64) error {
	return boltfile.Guard(n.path, func() error {
		binary.BigEndian.PutUint64(n.page, index)
		binary.BigEndian.PutUint64(n.page[8:], term)
		binary.BigEndian.PutUint64(n.page[16:], noteSum(n.page))
		return nil
	})
}

// get fails where nothing was noted, or not to the end.
func (n *note) get() (index, term uint64, err error) {
	err = boltfile.Guard(n.path, func() error {
		if binary.BigEndian.Uint64(n.page[16:]) != noteSum(n.page) {
			return errNoNote
		}
		index, term = binary.BigEndian.Uint64(n.page), binary.BigEndian.Uint64(n.page[8:])
		return nil
	})
	return index, term, err
}

// noteSum is never that of an empty page.
func noteSum(page []byte) uint64 {
	return uint64(crc32.Checksum(page[:16], crc32.MakeTable(crc32.Castagnoli))) | 1<<32
}

func (n *note) close() error {
	if n.page == nil {
		return nil
	}
	page := n.page
	n.page = nil
	return unix.Munmap(page)
}
