package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Measure adds up what is in a directory, on its own file system only. A file with several names counts once. Files come
// and go meanwhile: what is gone counts nothing, also the directory itself. Directories may be nested as deep as they can be made.
func Measure(ctx context.Context, dir string) (Usage, error) {
	var root unix.Stat_t
	if err := unix.Lstat(dir, &root); err != nil {
		return Usage{}, ignoreGone(err)
	}
	w := walk{device: root.Dev, linked: map[uint64]bool{}}
	defer w.close()
	err := w.visit(unix.AT_FDCWD, dir, &root)
	for err == nil && len(w.levels) > 0 {
		if err = ctx.Err(); err == nil {
			err = w.step()
		}
	}
	if err != nil {
		return w.total, fmt.Errorf("measure %s: %w", dir, err)
	}
	return w.total, nil
}

// A path may be longer than the kernel takes one, so each directory is opened from the one that it is in. And they may be nested
// deeper than there are descriptors: then of those on the way, the ones in the middle are closed, and found again from the one below.

const (
	// keptFirst and keptLast are how many directories on the way stay open, the first and the last.
	keptFirst, keptLast = 32, 32
	// chunk is how much of a directory is read at once: it may hold millions of files.
	chunk = 8 << 10
)

type walk struct {
	device uint64
	linked map[uint64]bool // inodes with several names that were counted
	total  Usage
	levels []level // the directories on the way, from the first to the one that is being read
	free   [][]byte
}

// level is a directory on the way.
type level struct {
	fd     int // closed: -1
	inode  uint64
	next   int64  // where it is read on when it was closed
	buffer []byte // nil while it is closed
	unread []byte // what of the buffer was not looked at yet
}

// visit counts one file, which parent has by that name, and goes down into a directory.
func (w *walk) visit(parent int, name string, st *unix.Stat_t) error {
	if st.Dev != w.device || st.Nlink == 0 { // of another file system, or gone
		return nil
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !isDir && st.Nlink > 1 {
		if w.linked[st.Ino] {
			return nil
		}
		w.linked[st.Ino] = true
	}
	w.total.Bytes += st.Blocks * blockSize
	w.total.Inodes++
	if !isDir {
		return nil
	}
	return w.down(parent, name, st.Ino)
}

// down goes into a directory.
func (w *walk) down(parent int, name string, inode uint64) error {
	fd, err := openDir(parent, name)
	if err != nil {
		return ignoreGone(err)
	}
	w.levels = append(w.levels, level{fd: fd, inode: inode, buffer: w.takeBuffer()})
	if middle := len(w.levels) - 1 - keptLast; middle >= keptFirst {
		w.shut(&w.levels[middle])
	}
	return nil
}

// up leaves the directory that was read for the one that it is in.
func (w *walk) up() error {
	last := len(w.levels) - 1
	left := &w.levels[last]
	defer w.shut(left)
	w.levels = w.levels[:last]
	if last == 0 || w.levels[last-1].fd >= 0 {
		return nil
	}
	found, err := w.reopen(&w.levels[last-1], left.fd)
	if err == nil && !found {
		// It was moved, or removed: what else is on the way there is taken for gone. All that is closed is on that way.
		w.levels = w.levels[:keptFirst]
	}
	return err
}

// reopen opens a directory that was closed, from one that was in it.
func (w *walk) reopen(l *level, below int) (found bool, err error) {
	fd, err := openDir(below, "..")
	if err != nil {
		return false, ignoreGone(err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Dev == w.device && st.Ino == l.inode {
		if _, err = unix.Seek(fd, l.next, unix.SEEK_SET); err == nil {
			l.fd, l.buffer = fd, w.takeBuffer()
			return true, nil
		}
	}
	_ = unix.Close(fd)
	return false, err
}

// step looks at the next file of the directory that is being read, or leaves it.
func (w *walk) step() error {
	l := &w.levels[len(w.levels)-1]
	name, err := l.read()
	if err != nil || name == "" {
		return w.up() // its end, or it was removed while it was read
	}
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstatat(l.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err == nil {
		err = w.visit(l.fd, name, &st)
	}
	if err = ignoreGone(err); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// read gives the next name in the directory, "" when there is none.
func (l *level) read() (string, error) {
	const offset, length, begin = 8, 16, 19 // of the kernel's struct linux_dirent64
	for {
		if len(l.unread) == 0 {
			n := 0
			err := retry(func() (err error) { n, err = unix.Getdents(l.fd, l.buffer); return err })
			if err != nil || n <= 0 {
				return "", err
			}
			l.unread = l.buffer[:n]
		}
		entry := l.unread[:binary.NativeEndian.Uint16(l.unread[length:])]
		l.unread = l.unread[len(entry):]
		l.next = int64(binary.NativeEndian.Uint64(entry[offset:]))
		name, _, _ := bytes.Cut(entry[begin:], []byte{0})
		if s := string(name); s != "." && s != ".." {
			return s, nil
		}
	}
}

func (w *walk) takeBuffer() []byte {
	if last := len(w.free) - 1; last >= 0 {
		b := w.free[last]
		w.free = w.free[:last]
		return b
	}
	return make([]byte, chunk)
}

// shut closes a directory, which can be opened again.
func (w *walk) shut(l *level) {
	if l.fd < 0 {
		return
	}
	_ = unix.Close(l.fd)
	w.free = append(w.free, l.buffer)
	l.fd, l.buffer, l.unread = -1, nil, nil
}

func (w *walk) close() {
	for i := range w.levels {
		w.shut(&w.levels[i])
	}
}

func openDir(parent int, name string) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// retry does again what a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
