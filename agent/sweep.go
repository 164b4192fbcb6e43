package agent

import (
	"context"
	"time"

	"covey.dev/covey/agent/sweep"
)

// sweepGrace is what containers have to end after SIGTERM when their node is taken off the machine.
const sweepGrace = 10 * time.Second

// Sweep takes away all that a stopped node has on its machine but the data directory. Of the cgroup service see sweep.Node.
func Sweep(ctx context.Context, dataDir, stateDir, instanceID, service string) error {
	return sweep.Sweep(ctx, sweep.Node{DataDir: dataDir, StateDir: stateDir, InstanceID: instanceID, Service: service, Grace: sweepGrace})
}

// RemoveDir takes a directory away that has no mounts below it. One that is a mount stays, empty but for what its file system keeps there.
func RemoveDir(dir string) error { return sweep.Remove(dir) }
