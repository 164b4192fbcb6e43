package fence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lookEvery is how often, when the time has passed, is looked for what was being started just then.
	lookEvery = time.Second
	// startTime is how long a watchdog may take to say that it runs.
	startTime = 30 * time.Second
)

// Watchdog ends the guarded pods when their time has passed, until there are none. It calls ready once it is the one that does so for
// the directory.
func Watchdog(ctx context.Context, dir string, ready func(), log *slog.Logger) error {
	held, err := lock(dir)
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	if _, err := held.WriteAt(fmt.Appendf(nil, "%-20d\n", os.Getpid()), 0); err != nil {
		return err
	}
	looks := make(chan os.Signal, 1)
	signal.Notify(looks, syscall.SIGHUP)
	defer signal.Stop(looks)
	ready()
	for ctx.Err() == nil {
		l, err := readLease(dir)
		if err != nil {
			return err
		}
		if len(l.Pods) == 0 {
			return nil
		}
		until := l.Until
		if l.ended(uptime()) {
			if n := Kill(l.cgroups()); n > 0 {
				log.Warn("pods that may run at most once were ended: their node does not know any more that it may run them", "processes", n)
			}
			until = uptime() + lookEvery
		}
		if err := sleepUntil(ctx, until, looks); err != nil {
			return err
		}
	}
	return nil
}

// sleepUntil returns at a time since the machine's start, at once after a suspension that was longer; when it is told to look; or when
// ctx ends.
func sleepUntil(ctx context.Context, until time.Duration, looks <-chan os.Signal) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("make a timer: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timer")
	defer func() { _ = timer.Close() }()
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(max(until.Nanoseconds(), 1))}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &at, nil); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	rang := make(chan struct{})
	go func() { // ends when the timer is closed
		defer close(rang)
		_, _ = timer.Read(make([]byte, 8))
	}()
	select {
	case <-rang:
	case <-looks:
	case <-ctx.Done():
	}
	return nil
}

var errRuns = errors.New("a watchdog runs")

func lockFile(dir string) string { return filepath.Join(dir, "watchdog") }

// lock is held by the watchdog, which writes its process ID into it; errRuns when there is one.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(lockFile(dir), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errRuns
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ensureWatchdog starts one if none runs, and returns when it says something.
func ensureWatchdog(dir string, command []string) error {
	held, err := lock(dir)
	if errors.Is(err, errRuns) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = held.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], dir)...) //nolint:gosec // covey itself
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // covey's end is not its own
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return fmt.Errorf("start the watchdog of pods that may run at most once: %w", err)
	}
	go func() { _ = cmd.Wait() }() // it goes on for as long as there are such pods
	_ = r.SetReadDeadline(time.Now().Add(startTime))
	if n, err := r.Read(make([]byte, 1)); n != 1 {
		return fmt.Errorf("start the watchdog of pods that may run at most once: %w", err)
	}
	return nil
}

// wakeWatchdog has the one that runs, if any, look at the lease.
func wakeWatchdog(dir string) error {
	held, err := lock(dir)
	if err == nil {
		return held.Close()
	}
	if !errors.Is(err, errRuns) {
		return err
	}
	data, err := os.ReadFile(lockFile(dir))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("%s: want a process ID, not %q", lockFile(dir), data)
	}
	if err := unix.Kill(pid, unix.SIGHUP); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}
