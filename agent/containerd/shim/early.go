package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/fifo"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// covey starts a shim itself when it begins to make a group's first container. Such a shim has a pipe as standard input, whose
// other end covey has until the shim has a container. Other than one that containerd starts it has no container's bundle to
// begin in, and so no log.

func isEarly() bool {
	info, err := os.Stdin.Stat()
	return err == nil && info.Mode()&fs.ModeNamedPipe != 0
}

// standBy has the shim end when covey lets go of it, or is killed, before there is a container.
func (s *service) standBy(stop shutdown.Service) error {
	address, err := unix.Getsockname(3) // on which it is about to serve
	if err != nil {
		return fmt.Errorf("find the shim's own socket: %w", err)
	}
	socket, ok := address.(*unix.SockaddrUnix)
	if !ok {
		return fmt.Errorf("the shim's own socket is %T", address)
	}
	stop.RegisterCallback(func(context.Context) error { return os.Remove(socket.Name) })
	s.idle = true
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.idle {
			stop.Shutdown()
		}
	}()
	return shim.AdjustOOMScore(os.Getpid())
}

// begin has a shim that was started early log from now on to where containerd reads the log of a shim that it starts.
func (s *service) begin(ctx context.Context, bundle string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.idle {
		return nil
	}
	s.idle = false
	w, err := fifo.OpenFifoDup2(ctx, filepath.Join(bundle, "log"), unix.O_WRONLY, 0, int(os.Stderr.Fd()))
	if err != nil {
		return fmt.Errorf("open the shim's log: %w", err)
	}
	log.L.Logger.SetOutput(w)
	return log.SetFormat(log.TextFormat)
}
