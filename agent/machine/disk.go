package machine

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// What a node should have left on its disk: below the default of --eviction-hard it takes no pods.
const (
	leastPercent = 15
	leastBytes   = 1 << 30
)

type fileSystem struct {
	kind             int64
	total, available uint64 // bytes
	noexec, readOnly bool
}

func statfs(path string) (fileSystem, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fileSystem{}, fmt.Errorf("look at the file system of %s: %w", path, err)
		}
		unit := uint64(st.Frsize)
		return fileSystem{
			kind:  int64(st.Type), //nolint:unconvert // it is shorter on 32 bits
			total: st.Blocks * unit, available: st.Bavail * unit,
			noexec: st.Flags&unix.ST_NOEXEC != 0, readOnly: st.Flags&unix.ST_RDONLY != 0,
		}, nil
	}
}

func (m Machine) disk() Finding {
	dir := existing(m.DataDir)
	fs, err := statfs(dir)
	if err != nil {
		return Finding{"disk", Warning, err.Error(), ""}
	}
	return fs.judge(dir)
}

func (fs fileSystem) judge(dir string) Finding {
	percent := 100 * fs.available / max(fs.total, 1)
	left := fmt.Sprintf("%.1f GiB (%d %%) free below %s", float64(fs.available)/(1<<30), percent, dir)
	switch {
	case fs.kind == unix.TMPFS_MAGIC:
		return Finding{"disk", Warning, dir + " is in memory: all is lost at a reboot", "choose another --data-dir"}
	case fs.kind == unix.NFS_SUPER_MAGIC || fs.kind == unix.CIFS_SUPER_MAGIC || fs.kind == unix.SMB2_SUPER_MAGIC:
		return Finding{"disk", Warning, dir + " is on another machine: the state needs a local disk", "choose another --data-dir"}
	case percent < leastPercent:
		return Finding{"disk", Warning, fmt.Sprintf("%s; with less than %d %% the node takes no pods", left, leastPercent), "make room, or set --eviction-hard"}
	case fs.available < leastBytes:
		return Finding{"disk", Warning, left, "make room: images and logs need it"}
	}
	return ok("disk", "%s", left)
}
