// Package direct is the file system of the Raft log: what is appended goes past the page cache, in the disk's own sectors.
// Through the page cache an entry of 700 bytes that is synced costs the disk a page of 4 KiB, and one that lies on the border of
// two pages 8 KiB.
//
// What comes in: raft-wal's calls. What goes out: the same as from raft-wal's own file system, which does what is not
// appending; where a disk or file system cannot do it, it does that too.
//
// Caller: store/raft.
package direct

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
	"golang.org/x/sys/unix"
)

// FS implements types.VFS.
type FS struct{ *fs.FS }

// New gives a file system.
func New() FS { return FS{fs.New()} }

// Create implements types.VFS.
func (f FS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	buffered, err := f.FS.Create(dir, name, size)
	if err != nil {
		return nil, err
	}
	return open(filepath.Join(dir, name), buffered), nil
}

// OpenWriter implements types.VFS.
func (f FS) OpenWriter(dir, name string) (types.WritableFile, error) {
	buffered, err := f.FS.OpenWriter(dir, name)
	if err != nil {
		return nil, err
	}
	return open(filepath.Join(dir, name), buffered), nil
}

// file is one segment. It is written by one goroutine, from the front to the end; whoever reads it goes through the page cache,
// where the kernel drops what a direct write changes.
type file struct {
	types.WritableFile // the same one, buffered
	direct             *os.File
	sector             int64
	synced             bool // the file and its directory entry are on the disk

	buf    []byte // what is written from, aligned; kept for the next time
	last   []byte // what the sector at lastAt has, up to the end of what was written
	lastAt int64
}

// open returns buffered itself where the file cannot be written directly.
func open(path string, buffered types.WritableFile) types.WritableFile {
	var info unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_DIOALIGN, &info); err != nil || info.Mask&unix.STATX_DIOALIGN == 0 {
		return buffered
	}
	if align := info.Dio_offset_align; align == 0 || align > page || page%align != 0 || info.Dio_mem_align > page {
		return buffered
	}
	direct, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return buffered
	}
	return &file{WritableFile: buffered, direct: direct, sector: int64(info.Dio_offset_align), lastAt: -1}
}

// page is the greatest sector, and what memory is aligned to.
const page = 4096

// WriteAt writes whole sectors: what comes before b in its first one is written again, and what follows it in its last one
// becomes zero.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	begin := at - at%f.sector
	head, err := f.head(begin, int(at-begin))
	if err != nil {
		return 0, err
	}
	used := len(head) + len(b)
	whole := int((int64(used) + f.sector - 1) / f.sector * f.sector)
	buf := f.buffer(whole)
	copy(buf[copy(buf, head):], b)
	clear(buf[used:])
	if _, err := f.direct.WriteAt(buf, begin); err != nil {
		f.lastAt = -1
		return 0, err
	}
	rest := used % int(f.sector)
	f.last = append(f.last[:0], buf[used-rest:used]...)
	f.lastAt = begin + int64(used-rest)
	return len(b), nil
}

// head is what the sector that begins there has in its first n bytes.
func (f *file) head(begin int64, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if f.lastAt == begin && len(f.last) >= n {
		return f.last[:n], nil
	}
	head := make([]byte, n)
	if m, err := f.ReadAt(head, begin); err != nil && (!errors.Is(err, io.EOF) || m < n) {
		return nil, err
	}
	return head, nil
}

// Sync returns when what was written is on the disk. What a direct write changes beside the data is where it lies, which
// fdatasync sees to; the first time, the file's size and its directory entry are as new.
func (f *file) Sync() error {
	if !f.synced {
		if err := f.WritableFile.Sync(); err != nil {
			return err
		}
		f.synced = true
		return nil
	}
	for {
		if err := unix.Fdatasync(int(f.direct.Fd())); err != unix.EINTR {
			return err
		}
	}
}

func (f *file) Close() error {
	err := f.direct.Close()
	if bufferedErr := f.WritableFile.Close(); err == nil {
		err = bufferedErr
	}
	return err
}

// mostKept is how large a buffer is kept.
const mostKept = 64 << 10

func (f *file) buffer(n int) []byte {
	if n > mostKept {
		return aligned(n)
	}
	if n > cap(f.buf) {
		f.buf = aligned(n)
	}
	return f.buf[:n]
}

// aligned gives memory that the disk can be written from.
func aligned(n int) []byte {
	buf := make([]byte, n+page)
	skip := page - int(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))%page)
	return buf[skip : skip+n]
}
