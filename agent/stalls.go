package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"
)

// stallTrigger has the kernel say when tasks waited for memory for 100 ms within two seconds, the window that it allows everybody.
const stallTrigger = "some 100000 2000000\x00"

// watchStalls calls stalled when the kernel says that tasks wait for memory, until ctx ends. It sleeps in the kernel
// meanwhile. Where the kernel cannot tell it returns at once.
func watchStalls(ctx context.Context, stalled func(), log *slog.Logger) {
	if err := waitForStalls(ctx, stalled); err != nil {
		log.Debug("the kernel does not tell of memory stalls: memory is looked at now and then", "error", err)
	}
}

func waitForStalls(ctx context.Context, stalled func()) error {
	pressure, err := unix.Open("/proc/pressure/memory", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /proc/pressure/memory: %w", err)
	}
	defer func() { _ = unix.Close(pressure) }()
	if _, err := unix.Write(pressure, []byte(stallTrigger)); err != nil {
		return fmt.Errorf("set a trigger in /proc/pressure/memory: %w", err)
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make an event: %w", err)
	}
	signalled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(signalled)
		_, _ = unix.Write(end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-signalled // it writes to the event
		}
		_ = unix.Close(end)
	}()
	for {
		fds := []unix.PollFd{{Fd: int32(pressure), Events: unix.POLLPRI}, {Fd: int32(end), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return fmt.Errorf("wait for memory stalls: %w", err)
		}
		switch {
		case fds[1].Revents != 0:
			return nil
		case fds[0].Revents&unix.POLLERR != 0:
			return errors.New("the trigger in /proc/pressure/memory is gone")
		case fds[0].Revents&unix.POLLPRI != 0:
			stalled()
		}
	}
}
