package runtimetest

import (
	"context"
	"io"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/logs"
)

// Program is a fake process's code. It returns its exit code; ctx ends when it is killed, and what it returns then is
// passed over.
type Program func(ctx context.Context, p *Process) int

// Process is what a program sees.
type Process struct {
	Args           []string
	Env            []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan agent.TerminalSize
	Signals        <-chan syscall.Signal // all but SIGKILL
	// OOM ends the process as the kernel does when its memory is used up.
	OOM func()
}

// fakeContainer is one container of a Fake; status is guarded by the fake's mutex.
type fakeContainer struct {
	spec    *agent.ContainerSpec
	args    []string
	env     []string
	status  agent.Container
	signals chan syscall.Signal
	ctx     context.Context
	kill    context.CancelFunc
	oom     func()
	done    chan struct{} // closed when the process has ended
	streams streams
}

func newFakeContainer(spec *agent.ContainerSpec, image FakeImage) *fakeContainer {
	kept := *spec
	command, args := spec.Command, spec.Args
	if command == nil {
		command = image.Entrypoint
		if args == nil {
			args = image.Cmd
		}
	}
	ctx, kill := context.WithCancel(context.Background())
	return &fakeContainer{
		spec: &kept,
		args: append(append([]string{}, command...), args...),
		env:  append(append([]string{}, image.Env...), spec.Env...),
		status: agent.Container{
			ID: spec.ID, Pod: spec.Pod, Name: spec.Name, Attempt: spec.Attempt, SpecHash: spec.SpecHash,
			Image: spec.Image, ImageID: image.Digest, LogPath: spec.LogPath,
			StopSignal: stopSignal(spec.StopSignal),
			State:      agent.StateCreated, CreatedAt: time.Now(),
		},
		signals: make(chan syscall.Signal, 64),
		ctx:     ctx,
		kill:    kill,
		done:    make(chan struct{}),
		streams: newStreams(ctx, spec),
	}
}

// stopSignal knows the signals that tests use.
func stopSignal(name string) syscall.Signal {
	if sig := unix.SignalNum(name); sig != 0 {
		return sig
	}
	return syscall.SIGTERM
}

func (c *fakeContainer) signal(sig syscall.Signal) {
	if sig == syscall.SIGKILL {
		c.kill()
		return
	}
	select {
	case c.signals <- sig:
	default: // as with real signals: of many pending ones some are merged
	}
}

// run runs the first process until it ends; its output goes to log.
func (c *fakeContainer) run(program Program, log *logs.Writer) int {
	defer close(c.done)
	out, closeOut := logPipe(log, logs.Stdout)
	errs, closeErrs := logPipe(log, logs.Stderr)
	code := runProgram(c.ctx, program, &Process{
		Args: c.args, Env: c.env, Stdin: c.streams.stdin,
		Stdout: io.MultiWriter(out, c.streams.writer(logs.Stdout)), Stderr: io.MultiWriter(errs, c.streams.writer(logs.Stderr)),
		TTY: c.spec.TTY, Resize: c.streams.sizes, Signals: c.signals, OOM: c.oom,
	})
	c.kill() // further processes in the container end with the first
	closeOut()
	closeErrs()
	return code
}

// runProgram runs a program until it returns or is killed, which is 128+9 to its parent.
func runProgram(ctx context.Context, program Program, p *Process) int {
	code := program(ctx, p)
	if ctx.Err() != nil {
		return 128 + int(syscall.SIGKILL)
	}
	return code
}

// logPipe gives a writer whose lines go to the log, and what ends it.
func logPipe(log *logs.Writer, stream logs.Stream) (io.Writer, func()) {
	from, to := io.Pipe()
	var copying sync.WaitGroup
	copying.Go(func() { _ = log.Copy(stream, from) })
	return to, func() {
		_ = to.Close()
		copying.Wait()
	}
}

// blockingReader is a standard input that nobody writes to.
type blockingReader struct{ ctx context.Context }

func (b blockingReader) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, io.EOF
}
