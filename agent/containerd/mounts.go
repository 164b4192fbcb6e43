package containerd

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// systemMounts takes the place of containerd's mount manager, which makes mounts that the kernel cannot: covey's
// snapshotters give none. containerd's client insists on having one, and containerd's own brings text/template, with which
// the linker can leave no method of any type out of the program, and a database file.
type systemMounts struct{}

var _ mount.Manager = systemMounts{}

func registerSystemMounts() {
	registry.Register(&plugin.Registration{
		Type:   plugins.MountManagerPlugin,
		ID:     "covey",
		InitFn: func(*plugin.InitContext) (any, error) { return systemMounts{}, nil },
	})
}

// Activate says that there is nothing to do but to mount what is given, as containerd's own would.
func (systemMounts) Activate(context.Context, string, []mount.Mount, ...mount.ActivateOpt) (mount.ActivationInfo, error) {
	return mount.ActivationInfo{}, fmt.Errorf("mounts are the system's: %w", errdefs.ErrNotImplemented)
}

func (systemMounts) Deactivate(_ context.Context, name string) error {
	return fmt.Errorf("mount activation %q: %w", name, errdefs.ErrNotFound)
}

func (systemMounts) Info(_ context.Context, name string) (mount.ActivationInfo, error) {
	return mount.ActivationInfo{}, fmt.Errorf("mount activation %q: %w", name, errdefs.ErrNotFound)
}

func (systemMounts) Update(_ context.Context, info mount.ActivationInfo, _ ...string) (mount.ActivationInfo, error) {
	return mount.ActivationInfo{}, fmt.Errorf("mount activation %q: %w", info.Name, errdefs.ErrNotFound)
}

func (systemMounts) List(context.Context, ...string) ([]mount.ActivationInfo, error) { return nil, nil }
