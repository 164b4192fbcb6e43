package node

import (
	"context"
	"errors"
)

// over runs inner on top of base: base is stopped only after inner has returned, and when base fails inner is stopped.
// It returns when both have ended. So the layers of a node are taken down in the reverse order of their start.
func over(ctx context.Context, base, inner func(context.Context) error) error {
	baseCtx, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	innerCtx, stopInner := context.WithCancel(ctx)
	defer stopInner()

	baseErr := make(chan error, 1)
	go func() {
		defer stopInner()
		baseErr <- base(baseCtx)
	}()
	err := inner(innerCtx)
	stopBase()
	return errors.Join(err, <-baseErr)
}
