package containerd

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// errNoSpace ends the load of an archive that is larger than the disk: a few KB of one can be unpacked to as much as it
// likes, and what covey writes to the same disk is the cluster's state.
var errNoSpace = errors.New("it needs more space than the disk has to spare")

const (
	spaceStep = 16 << 20 // bytes between two looks at the disk
	// spareFraction of the disk stays free, or sparedBytes where that is less.
	spareFraction = 20
	sparedBytes   = 1 << 30
)

// spaceGuard is a reader whose content goes to the disk.
type spaceGuard struct {
	io.Reader
	space func() (free, total uint64, err error)
	left  int // bytes until the next look
}

func (g *spaceGuard) Read(p []byte) (int, error) {
	if g.left <= 0 {
		free, total, err := g.space()
		if err != nil {
			return 0, fmt.Errorf("look at the disk: %w", err)
		}
		if free < min(total/spareFraction, sparedBytes)+spaceStep {
			return 0, errNoSpace
		}
		g.left = spaceStep
	}
	n, err := g.Reader.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// diskSpace is that of a folder's file system, in bytes.
func diskSpace(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}
