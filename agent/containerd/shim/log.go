package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/containerd/output"
	"covey.dev/covey/agent/logs"
)

// containerLog copies one container's output from pipes in its bundle to its log. A nil one does nothing.
type containerLog struct {
	writer         *logs.Writer
	stdin          *os.File // held so that the input stays open; or nil
	stdout, stderr *os.File // stderr is nil with a terminal
	attached       *attachments
	copying        sync.WaitGroup
	done           chan struct{} // all output is written
	noted          chan struct{} // the exit is noted
}

// openLog makes the pipes.
func openLog(bundle string, to output.Destination, terminal bool, stdin string) (_ *containerLog, err error) {
	l := &containerLog{done: make(chan struct{}), noted: make(chan struct{})}
	defer func() {
		if err != nil {
			l.drop()
		}
	}()
	if stdin == output.OpenStdin || stdin == output.OpenStdinOnce {
		if l.stdin, err = openPipe(filepath.Join(bundle, "stdin"), os.O_RDWR); err != nil {
			return nil, err
		}
	}
	if l.stdout, err = openPipe(filepath.Join(bundle, "stdout"), os.O_RDONLY); err != nil {
		return nil, err
	}
	if !terminal {
		if l.stderr, err = openPipe(filepath.Join(bundle, "stderr"), os.O_RDONLY); err != nil {
			return nil, err
		}
	}
	listener, err := to.Listen()
	if err != nil {
		return nil, err
	}
	// A terminal stays open when the one at it leaves.
	l.attached = &attachments{
		listener: listener, stdin: l.stdin, once: stdin == output.OpenStdinOnce && !terminal, clients: map[*net.UnixConn]struct{}{},
	}
	l.writer = logs.NewWriter(to.Path, logs.WriterOptions{
		MaxBytes: to.MaxBytes,
		MaxFiles: to.MaxFiles,
		Warn: func(err error) {
			log.L.WithError(err).WithField("log", to.Path).Warn("container log")
		},
	})
	return l, nil
}

func openPipe(path string, mode int) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("make pipe %s: %w", path, err)
	}
	return os.OpenFile(path, mode|unix.O_NONBLOCK, 0)
}

// paths gives the pipes' paths for the task service.
func (l *containerLog) paths() (stdin, stdout, stderr string) {
	if l.stdin != nil {
		stdin = l.stdin.Name()
	}
	if l.stderr != nil {
		stderr = l.stderr.Name()
	}
	return stdin, l.stdout.Name(), stderr
}

// start begins to copy, until the pipes end or are dropped.
func (l *containerLog) start() {
	l.copy(logs.Stdout, tee{l.stdout, output.Stdout, l.attached})
	if l.stderr != nil {
		l.copy(logs.Stderr, tee{l.stderr, output.Stderr, l.attached})
	}
	go l.attached.serve()
	go func() {
		l.copying.Wait()
		l.attached.end()
		_ = l.writer.Close()
		close(l.done)
	}()
}

func (l *containerLog) copy(stream logs.Stream, from io.Reader) {
	l.copying.Go(func() {
		if err := l.writer.Copy(stream, from); err != nil {
			log.G(context.Background()).WithError(err).Warn("copy container output")
		}
	})
}

// wait waits until all output is written, for lastOutput at most.
func (l *containerLog) wait() {
	if l == nil {
		return
	}
	select {
	case <-l.done:
	case <-time.After(lastOutput):
	}
}

// waitNoted waits until the exit is noted. The process has ended when it is called, so it is short.
func (l *containerLog) waitNoted(ctx context.Context) {
	if l == nil {
		return
	}
	select {
	case <-l.noted:
	case <-ctx.Done():
	case <-time.After(lastOutput):
	}
}

// drop closes the pipes.
func (l *containerLog) drop() {
	if l == nil {
		return
	}
	l.attached.end()
	for _, f := range []*os.File{l.stdin, l.stdout, l.stderr} {
		if f != nil {
			f.Close()
		}
	}
}
