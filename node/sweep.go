package node

import (
	"context"
	"errors"
	"io/fs"

	"covey.dev/covey/agent"
)

// Sweep takes a stopped node's containers, mounts, interfaces, tables and cgroups off this machine, and its state directory.
// The data directory stays, so that the node can be started again. It ran in the cgroup service (/covey), which goes too; empty for one that stays.
func Sweep(ctx context.Context, dataDir, stateDir, service string) error {
	held, err := lock(dataDir)
	switch {
	case err == nil:
		defer func() { _ = held.Close() }()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	c := Config{StateDir: stateDir}
	return agent.Sweep(ctx, dataDir, stateDir, c.instanceID(), service)
}

// Purge removes the data directory of a node that was swept: its state, its key, images and logs.
func Purge(dataDir string) error {
	held, err := lock(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	return agent.RemoveDir(dataDir)
}
