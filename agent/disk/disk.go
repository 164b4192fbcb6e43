// Package disk measures file systems and directories. Package agent calls it for the node's housekeeping, package
// containerd for the containers' own files.
package disk

import (
	"errors"
	"fmt"
	"io/fs"

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

// ignoreGone passes over what is gone, or something else by now: a link is no directory to go down into.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
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
