// Package disk measures file systems and directories. Package agent calls it for the node's housekeeping, package
// containerd for the containers' own files.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Usage is what files take on their disk.
type Usage struct {
	Bytes  int64 // in whole blocks, as du counts
	Inodes int64
}

// Add adds two usages up.
func (u Usage) Add(other Usage) Usage {
	return Usage{Bytes: u.Bytes + other.Bytes, Inodes: u.Inodes + other.Inodes}
}

// blockSize is the unit of st_blocks, whatever the file system's own is.
const blockSize = 512

// Measure adds up what is in a directory, on its own file system only. A file with several names counts once. Files come
// and go meanwhile: what is gone counts nothing, also the directory itself.
func Measure(ctx context.Context, dir string) (Usage, error) {
	var root unix.Stat_t
	if err := unix.Lstat(dir, &root); err != nil {
		return Usage{}, ignoreGone(err)
	}
	w := walk{ctx: ctx, device: root.Dev, linked: map[uint64]bool{}}
	err := w.visit(dir, &root)
	return w.total, err
}

type walk struct {
	ctx    context.Context
	device uint64
	linked map[uint64]bool // inodes with several names that were counted
	total  Usage
}

func (w *walk) visit(path string, st *unix.Stat_t) error {
	if st.Dev != w.device {
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
	return w.below(path)
}

func (w *walk) below(path string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	dir, err := os.Open(path)
	if err != nil {
		return ignoreGone(err)
	}
	defer func() { _ = dir.Close() }()
	for {
		names, err := dir.Readdirnames(256) // a directory may hold millions
		for _, name := range names {
			var st unix.Stat_t
			child := path + "/" + name
			if err := ignoreGone(unix.Lstat(child, &st)); err != nil {
				return fmt.Errorf("measure %s: %w", child, err)
			}
			if st.Nlink == 0 {
				continue // gone
			}
			if err := w.visit(child, &st); err != nil {
				return err
			}
		}
		if err != nil || len(names) == 0 {
			return nil // its end, or it was removed while it was read
		}
	}
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// Space is what a file system has.
type Space struct {
	ID                 unix.Fsid
	Bytes, FreeBytes   int64 // free for others than root
	Inodes, FreeInodes int64 // 0 and 0 where the file system does not count them
}

// SpaceAt looks at the file system that a path is on.
func SpaceAt(path string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Space{}, fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	return Space{
		ID:    st.Fsid,
		Bytes: int64(st.Blocks * uint64(st.Bsize)), FreeBytes: int64(st.Bavail * uint64(st.Bsize)),
		Inodes: int64(st.Files), FreeInodes: int64(st.Ffree),
	}, nil
}
