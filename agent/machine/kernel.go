package machine

import (
	"os"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
)

func (m Machine) overlay() Finding {
	if err := overlayutils.Supported(existing(m.DataDir)); err != nil {
		return Finding{"overlayfs", Warning, "not usable, so that each container takes a copy of its image: " + err.Error(),
			"modprobe overlay, or put the data directory on ext4 or on xfs with ftype=1"}
	}
	return ok("overlayfs", "usable below %s", existing(m.DataDir))
}

func (m Machine) seccomp() Finding {
	if _, err := os.Stat(m.path("/proc/sys/kernel/seccomp/actions_avail")); err != nil {
		return Finding{"seccomp", Warning, "this kernel has none: containers may make every system call",
			"boot a kernel with CONFIG_SECCOMP_FILTER"}
	}
	return ok("seccomp", "there")
}

// programs looks at whether what covey unpacks below its data directory can be executed.
func (m Machine) programs() Finding {
	dir := existing(m.DataDir)
	fs, err := statfs(dir)
	switch {
	case err != nil:
		return Finding{"programs", Missing, err.Error(), "choose another --data-dir"}
	case fs.noexec:
		return Finding{"programs", Missing, dir + " is mounted noexec, and the shim and runc are unpacked there",
			"mount it without noexec, or choose another --data-dir"}
	case fs.readOnly:
		return Finding{"programs", Missing, dir + " is mounted read-only", "mount it writable, or choose another --data-dir"}
	}
	return ok("programs", "can be executed below %s", dir)
}
