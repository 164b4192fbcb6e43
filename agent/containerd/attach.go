package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/output"
)

// Attach implements agent.Runtime.
func (r *Runtime) Attach(ctx context.Context, id string, spec *agent.AttachSpec) error {
	if err := r.attachTo(r.in(ctx), id, spec); err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	return nil
}

func (r *Runtime) attachTo(ctx context.Context, id string, spec *agent.AttachSpec) error {
	task, err := r.runningTask(ctx, id)
	if isNotFound(err) {
		return agent.ErrNotRunning
	}
	if err != nil {
		return err
	}
	conn, err := output.Destination{ExitFile: r.exitFile(id)}.Dial()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("it was started by a version of covey that could not attach; restart the container")
	case errors.Is(err, syscall.ECONNREFUSED):
		return agent.ErrNotRunning // it ended just now
	case err != nil:
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	greeting := byte(output.OutputOnly)
	if spec.Stdin != nil {
		greeting = output.WithInput
	}
	if _, err := conn.Write([]byte{greeting}); err != nil {
		return err
	}
	if spec.Stdin != nil {
		// Not waited for: it ends with the client's stream, which the caller closes.
		go func() {
			_, _ = io.Copy(conn, spec.Stdin)
			_ = conn.CloseWrite()
		}()
	}
	done := make(chan struct{})
	defer close(done)
	err = output.ReadFrames(conn, func(stream byte, content []byte) error {
		if stream == output.Attached {
			go feed(context.WithoutCancel(ctx), task, spec.Resize, nil, done) // not before its effect is seen
			return nil
		}
		to := spec.Stdout
		if stream == output.Stderr {
			to = spec.Stderr
		}
		if to == nil {
			return nil
		}
		_, err := to.Write(content)
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
