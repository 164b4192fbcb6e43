package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long anything is waited for.
const patience = 2 * time.Minute

// process is a program that is measured from outside.
type process struct {
	cmd    *exec.Cmd
	exited chan error
	log    string
}

// launch starts a program whose output goes to a file.
func launch(log string, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the benchmark to act on
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan error, 1), log: log}
	go func() { p.exited <- cmd.Wait() }()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the program with SIGTERM.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited: //nolint:errcheck // how it ended does not matter
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		return fmt.Errorf("%s does not end", p.cmd.Path)
	}
}

// tail is the end of what the program said.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-2000):])
}

// written is how many bytes the process has caused to be written to a disk.
func written(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "\nwrite_bytes: ")
	n, _ := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), 10, 64)
	return n
}

// settled waits until the process has written nothing for a while, and returns written.
func settled(pid int) int64 {
	const quiet = 3 * time.Second // longer than any of the programs waits before it writes behind
	last, since := written(pid), time.Now()
	for time.Since(since) < quiet {
		time.Sleep(100 * time.Millisecond)
		if now := written(pid); now != last {
			last, since = now, time.Now()
		}
	}
	return last
}

// pss is the proportional set size of processes, in bytes.
func pss(pids ...int) (sum int64) {
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		_, rest, _ := strings.Cut(string(b), "\nPss:")
		if fields := strings.Fields(rest); len(fields) > 0 {
			kib, _ := strconv.ParseInt(fields[0], 10, 64)
			sum += kib << 10
		}
	}
	return sum
}

// cpu is the processor time of all threads that the processes ever had.
func cpu(pids ...int) (sum time.Duration) {
	const tick = time.Second / 100
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) > 12 {
			user, _ := strconv.ParseInt(fields[11], 10, 64)
			system, _ := strconv.ParseInt(fields[12], 10, 64)
			sum += time.Duration(user+system) * tick
		}
	}
	return sum
}

// syncs counts the fsyncs and fdatasyncs of a process while load runs; -1 where strace is not there to do it.
func syncs(pid int, dir string, load func() error) (int64, error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return -1, load()
	}
	out := filepath.Join(dir, "strace.txt")
	cmd := exec.Command(strace, "-f", "-qq", "--seccomp-bpf", "-c", "-U", "calls,name", "-e", "trace=fsync,fdatasync,sync_file_range",
		"-o", out, "-p", strconv.Itoa(pid))
	if err := cmd.Start(); err != nil {
		return -1, load()
	}
	if err := traced(pid); err != nil {
		return 0, err
	}
	loadErr := load()
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
	b, err := os.ReadFile(out)
	if loadErr != nil || err != nil {
		return 0, errors.Join(loadErr, err)
	}
	var n int64
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) == 2 && strings.Contains(fields[1], "sync") {
			calls, _ := strconv.ParseInt(fields[0], 10, 64)
			n += calls
		}
	}
	return n, nil
}

// traced waits until strace holds the process.
func traced(pid int) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if !strings.Contains(string(b), "\nTracerPid:\t0\n") {
			return nil
		}
	}
	return errors.New("strace does not attach")
}
