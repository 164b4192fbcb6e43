package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// Prune drops uploads that did not come to their end, and has the garbage collection take blobs that no manifest names. While something
// is pushed it does nothing. A push that it comes upon between two requests has to be begun again: that is better than the eviction of
// pods, which comes next when the disk is full.
func (g *Registry) Prune(ctx context.Context) error {
	if !g.pushing.TryLock() {
		return nil
	}
	defer g.pushing.Unlock()
	ctx = g.InPushed(ctx)
	if err := errors.Join(g.dropUploads(ctx), g.dropLeases(ctx)); err != nil {
		return fmt.Errorf("prune what was pushed: %w", err)
	}
	return nil
}

func (g *Registry) dropUploads(ctx context.Context) error {
	uploads, err := g.Content.ListStatuses(ctx)
	for _, upload := range uploads {
		if e := g.Content.Abort(ctx, upload.Ref); e != nil && !errdefs.IsNotFound(e) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func (g *Registry) dropLeases(ctx context.Context) error {
	held, err := g.Leases.List(ctx)
	for _, lease := range held {
		if !strings.HasPrefix(lease.ID, pushLease) {
			continue
		}
		if e := g.Leases.Delete(ctx, lease); e != nil && !errdefs.IsNotFound(e) {
			err = errors.Join(err, e)
		}
	}
	return err
}
