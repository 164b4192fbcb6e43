package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/shim"
	"golang.org/x/sys/unix"
)

// starter is containerd's manager of shims.
type starter struct {
	shim.Shim
	older bool // the containerd that starts the shim is older than covey's
}

// Start also says that the shim leaves special mounts to containerd. Where a shim says nothing about that, containerd runs
// it once more for each container to ask.
func (s starter) Start(ctx context.Context, params *bootapi.BootstrapParams) (*bootapi.BootstrapResult, error) {
	debug.SetGCPercent(-1) // this process lives for a moment
	unlock, err := oneStart(params.GetSocketDir())
	if err != nil {
		return nil, err
	}
	result, err := s.Shim.Start(ctx, params)
	unlock()
	if err != nil {
		return nil, err
	}
	if s.older {
		return nil, answerOlder(result.GetAddress())
	}
	return result, result.AddExtension(&types.MountCapabilities{})
}

// oneStart has one shim start at a time: of two for the same group that find the socket of a dead one, the second could
// otherwise remove what the first has just made in its place. The lock ends with the process too.
func oneStart(socketDir string) (unlock func(), err error) {
	if socketDir == "" { // of an older containerd
		return func() {}, nil
	}
	if err := os.MkdirAll(socketDir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(socketDir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", socketDir, err)
	}
	return func() { _ = f.Close() }, nil
}
