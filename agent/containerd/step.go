package containerd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/client"
)

// errHung is why a step was given up that runc, or the shim that calls it, took no end with. Both share the machine's fate: a
// mount whose server is gone, a disk that does not answer, a kernel that holds a lock. The shim is told the same deadline, and
// kills its runc then.
var errHung = errors.New("it hangs")

// stepOnEnd is how long a step that is under way may still take when covey ends: most take some 50 ms, and one that is cut off
// leaves what the next start has to clear up.
const stepOnEnd = 3 * time.Second

// step does something that runc takes part in, within bounds.
func (r *Runtime) step(ctx context.Context, what string, do func(context.Context) error) error {
	stepCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.StepTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(stepOnEnd):
			cancel()
		case <-stepCtx.Done():
		}
	})()
	err := do(stepCtx)
	deadline, _ := stepCtx.Deadline()
	switch {
	case err == nil:
		return nil
	case time.Until(deadline) < r.cfg.StepTimeout/20: // the shim, which has the same deadline, may be first to say so
		return fmt.Errorf("%s: %w: no answer in %s", what, errHung, r.cfg.StepTimeout)
	case stepCtx.Err() != nil && ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// task finds a container's task, about which the shim is asked.
func (r *Runtime) task(ctx context.Context, c client.Container) (task client.Task, err error) {
	err = r.step(ctx, "the container's shim", func(ctx context.Context) (err error) {
		task, err = c.Task(ctx, nil)
		return err
	})
	return task, err
}
