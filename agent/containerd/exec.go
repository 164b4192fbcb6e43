package containerd

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/opencontainers/runtime-spec/specs-go"

	"covey.dev/covey/agent"
)

// Exec implements agent.Runtime. When ctx ends the process is killed.
func (r *Runtime) Exec(ctx context.Context, id string, spec *agent.ExecSpec) (int, error) {
	code, err := r.exec(r.in(ctx), id, spec)
	if errdefs.IsFailedPrecondition(err) || errdefs.IsNotFound(err) {
		err = fmt.Errorf("%w: %w", agent.ErrNotRunning, err) // it ended just now
	}
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", id, err)
	}
	return code, nil
}

func (r *Runtime) exec(ctx context.Context, id string, spec *agent.ExecSpec) (int, error) {
	task, err := r.runningTask(ctx, id)
	if err != nil {
		return 0, err
	}
	container, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return 0, err
	}
	parent, err := container.Spec(ctx)
	if err != nil {
		return 0, err
	}
	stdin := newStdin(spec.Stdin)
	// Making and starting it is not cut short when ctx ends, which would leave it in an unknown state.
	var process client.Process
	err = r.step(ctx, "runc exec", func(ctx context.Context) (err error) {
		process, err = task.Exec(ctx, "exec-"+uuid.NewString(), execProcess(parent.Process, spec), r.execIO(spec, stdin))
		return err
	})
	if err != nil {
		return 0, shorten(err)
	}
	defer func() {
		cleanCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if _, err := process.Delete(cleanCtx, client.WithProcessKill); err != nil && !isNotFound(err) {
			r.log.Debug("delete exec process", "container", id, "err", err)
		}
	}()
	return r.runExec(ctx, process, spec, stdin)
}

// execProcess is the container's own process with another command.
func execProcess(parent *specs.Process, spec *agent.ExecSpec) *specs.Process {
	p := *parent
	p.Args, p.Terminal = spec.Command, spec.TTY
	p.ConsoleSize, p.CommandLine = nil, ""
	if spec.TTY {
		p.Env = append([]string{"TERM=xterm"}, parent.Env...)
	}
	return &p
}

func (r *Runtime) execIO(spec *agent.ExecSpec, stdin *stdin) cio.Creator {
	opts := []cio.Opt{cio.WithFIFODir(filepath.Join(r.cfg.State, "fifo"))}
	stdout, stderr := spec.Stdout, spec.Stderr
	if stdout == nil {
		stdout = io.Discard // or the process would not get a pipe but nothing at all
	}
	if spec.TTY {
		opts = append(opts, cio.WithTerminal)
		stderr = nil
	} else if stderr == nil {
		stderr = io.Discard
	}
	var in io.Reader
	if stdin != nil {
		in = stdin
	}
	return cio.NewCreator(append(opts, cio.WithStreams(in, stdout, stderr))...)
}

// runExec starts the process, feeds it and waits for its end and that of its output.
func (r *Runtime) runExec(ctx context.Context, process client.Process, spec *agent.ExecSpec, stdin *stdin) (int, error) {
	background := context.WithoutCancel(ctx)
	exited, err := process.Wait(background)
	if err != nil {
		return 0, err
	}
	if err := r.step(ctx, "runc exec", func(ctx context.Context) error { return process.Start(ctx) }); err != nil {
		return 0, shorten(err)
	}
	var feeding sync.WaitGroup
	defer feeding.Wait()
	done := make(chan struct{})
	defer close(done)
	feeding.Go(func() { feed(background, process, spec.Resize, stdin.ended(), done) })

	var status client.ExitStatus
	select {
	case status = <-exited:
	case <-ctx.Done():
		// It may have ended.
		_ = r.step(background, "runc kill", func(ctx context.Context) error { return process.Kill(ctx, syscall.SIGKILL) })
		process.IO().Cancel()
		return 0, ctx.Err()
	}
	if err := status.Error(); err != nil {
		return 0, err
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		process.IO().Wait()
	}()
	select {
	case <-drained:
	case <-ctx.Done(): // a child of it holds the output
		process.IO().Cancel()
		<-drained
	}
	return int(status.ExitCode()), nil
}

// feed hands on changes of the terminal's size and the end of the input, until done.
func feed(ctx context.Context, process client.Process, resize <-chan agent.TerminalSize, stdinEnded, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-stdinEnded:
			// The shim holds the pipe open too: without this the process would wait for ever.
			_ = process.CloseIO(ctx, client.WithStdinCloser)
			stdinEnded = nil
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			_ = process.Resize(ctx, uint32(size.Width), uint32(size.Height)) // it may have ended
		}
	}
}

// stdin tells when a reader has ended.
type stdin struct {
	io.Reader
	once sync.Once
	over chan struct{}
}

func newStdin(r io.Reader) *stdin {
	if r == nil {
		return nil
	}
	return &stdin{Reader: r, over: make(chan struct{})}
}

func (s *stdin) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil {
		s.once.Do(func() { close(s.over) })
	}
	return n, err
}

func (s *stdin) ended() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.over
}
