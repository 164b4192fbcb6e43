package containerd

import (
	"context"
	"fmt"
	"strings"

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
