package runtimetest

import (
	"context"
	"fmt"
	"io"
	"syscall"

	"covey.dev/covey/agent"
)

// Exec implements agent.Runtime.
func (f *Fake) Exec(ctx context.Context, id string, spec *agent.ExecSpec) (int, error) {
	if err := f.fail("exec", id); err != nil {
		return 0, err
	}
	c, err := f.runningContainer("exec in", id)
	if err != nil {
		return 0, err
	}
	program, err := f.program(spec.Command)
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", id, err)
	}
	// The process ends with the caller and with the container.
	procCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	code := runProgram(procCtx, program, &Process{
		Args: spec.Command, Env: c.env, TTY: spec.TTY, Resize: spec.Resize,
		Stdin: orEmpty(spec.Stdin), Stdout: orDiscard(spec.Stdout), Stderr: orDiscard(spec.Stderr),
		Signals: make(chan syscall.Signal), OOM: c.oom,
	})
	if ctx.Err() != nil {
		return 0, fmt.Errorf("exec in container %s: %w", id, ctx.Err())
	}
	return code, nil
}

func orEmpty(r io.Reader) io.Reader {
	if r == nil {
		return eof{}
	}
	return r
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
