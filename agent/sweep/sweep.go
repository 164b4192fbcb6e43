package sweep

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/containerd/cgroup"
	"covey.dev/covey/agent/network"
	"covey.dev/covey/agent/sandbox"
)

// Node is a node that is stopped.
type Node struct {
	DataDir, StateDir string        // absolute; they may be links
	InstanceID        string        // that its interfaces, tables and cgroups are named with
	Service           string        // cgroup that it ran in and shims are in still (/covey), if it is to go; empty: it stays
	Grace             time.Duration // that containers have to end after SIGTERM
}

// Sweep takes away all that the node has on the machine but its data directory. It goes on after an error, and may be
// called again.
func Sweep(ctx context.Context, n Node) error {
	stateDir := n.StateDir
	for _, dir := range []*string{&n.DataDir, &n.StateDir} {
		if err := resolve(dir); err != nil {
			return err
		}
	}
	pods := "/covey-" + n.InstanceID
	terminate(ctx, pods, n.Grace)
	errs := []error{killPrograms(n.DataDir), cgroup.Remove(ctx, pods), cgroup.Remove(ctx, n.Service)}
	errs = append(errs, unpin(n.StateDir))
	errs = append(errs, unmount(n.StateDir), unmount(n.DataDir), network.Teardown(n.InstanceID))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return Remove(stateDir)
}

// resolve makes a directory that is a link the one that it leads to, by which the kernel names mounts and programs.
func resolve(dir *string) error {
	resolved, err := filepath.EvalSymlinks(*dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		*dir = resolved
	}
	return err
}

// Remove takes a directory away that has no mounts below it. One that is a mount is the machine's, and stays, empty but for what its file
// system keeps there.
func Remove(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs, whole := []error{err}, true
	for _, entry := range entries {
		if entry.Name() == "lost+found" {
			whole = false
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	if err := errors.Join(errs...); err != nil || !whole {
		return err
	}
	if err := os.Remove(dir); !errors.Is(err, unix.EBUSY) {
		return err
	}
	return nil
}

// unpin ends the namespaces of pods that share one of processes.
func unpin(stateDir string) error {
	dirs, err := filepath.Glob(filepath.Join(stateDir, "pods", "*", "ns"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, sandbox.Unpin(dir))
	}
	return errors.Join(errs...)
}
