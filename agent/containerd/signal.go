package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent"
)

// Signal implements agent.Runtime.
func (r *Runtime) Signal(ctx context.Context, id string, sig syscall.Signal) error {
	rec, _ := r.lookup(id)
	// Killing is left to runc, which thaws what is frozen. So is a process that has just begun: a first process of a PID
	// namespace that does not handle a signal yet never gets it, and runc takes its time.
	aged := time.Since(rec.StartedAt) > time.Second
	if rec.State == agent.StateRunning && sig != syscall.SIGKILL && aged && signalPast(&rec, sig) == nil {
		return nil
	}
	ctx = r.in(ctx)
	task, err := r.runningTask(ctx, id)
	if err == nil {
		err = r.step(ctx, "runc kill", func(ctx context.Context) error {
			return r.call(ctx, id, func() error { return task.Kill(ctx, sig) })
		})
	}
	if errors.Is(err, errHung) && signalPast(&rec, sig) == nil {
		err = nil
	}
	if errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) {
		err = agent.ErrNotRunning // it ended just now
	}
	if err != nil {
		return fmt.Errorf("signal container %s: %w", id, err)
	}
	return nil
}

// errOtherProcess says that a process is not the container's.
var errOtherProcess = errors.New("not the container's process")

// signalPast signals a container's first process without runc, which may hang, and takes 10 ms of a core where this takes none.
func signalPast(rec *record, sig syscall.Signal) error {
	if rec.Pid <= 0 || rec.cgroup == "" {
		return errOtherProcess
	}
	process, err := unix.PidfdOpen(rec.Pid, 0)
	if err != nil {
		return ignoreEnded(err)
	}
	defer func() { _ = unix.Close(process) }()
	// It is this one, rather than one that got its number since.
	cgroups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", rec.Pid))
	if err != nil {
		return ignoreEnded(err)
	}
	if !strings.Contains(string(cgroups), rec.cgroup) {
		return errOtherProcess
	}
	return ignoreEnded(unix.PidfdSendSignal(process, sig, nil, 0))
}

func ignoreEnded(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
