package containerd

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/leases"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/disk"
)

// DiskUsage implements agent.Runtime.
func (r *Runtime) DiskUsage(ctx context.Context, id string) (disk.Usage, error) {
	ctx = r.in(ctx)
	snapshots := r.client.SnapshotService(r.snapshotter)
	mounts, err := snapshots.Mounts(ctx, id)
	if isNotFound(err) {
		return disk.Usage{}, fmt.Errorf("files of container %s: %w", id, agent.ErrNotFound)
	}
	if err != nil {
		return disk.Usage{}, fmt.Errorf("files of container %s: %w", id, err)
	}
	for _, m := range mounts {
		for _, option := range m.Options {
			if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
				return disk.Measure(ctx, upper) // containerd's own measuring fails when a file vanishes meanwhile
			}
		}
	}
	use, err := snapshots.Usage(ctx, id)
	if err != nil {
		return disk.Usage{}, fmt.Errorf("files of container %s: %w", id, err)
	}
	return disk.Usage{Bytes: use.Size, Inodes: use.Inodes}, nil
}

// ImageDir implements agent.Images.
func (r *Runtime) ImageDir() string {
	if _, err := os.Stat(r.cfg.Root); err != nil {
		return "" // the machine's own containerd keeps its things elsewhere
	}
	return r.cfg.Root
}

// Prune implements agent.Images.
func (r *Runtime) Prune(ctx context.Context) error {
	ctx = r.in(ctx)
	_, err := r.parts.dropIdle(ctx, r.client.LeasesService(), 0)
	if err == nil {
		err = r.collectGarbage(ctx)
	}
	if err != nil {
		return fmt.Errorf("prune images: %w", err)
	}
	return nil
}

// collectGarbage removes what nothing holds: whatever lease goes away with a wait for its garbage collects all garbage.
func (r *Runtime) collectGarbage(ctx context.Context) error {
	service := r.client.LeasesService()
	last, err := service.Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Minute))
	if err != nil {
		return err
	}
	return service.Delete(ctx, last, leases.SynchronousDelete)
}
