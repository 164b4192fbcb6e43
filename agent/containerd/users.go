package containerd

import (
	"context"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/sandbox"
)

// users are the machine's users, or groups, that a container with a user namespace has.
func users(spec *agent.ContainerSpec) []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{HostID: spec.FirstUser, Size: sandbox.UserIDs}}
}

// snapshotUsers has the image's files appear as those of the container's users, by a mount that maps them where the kernel
// can, else by a copy.
func snapshotUsers(spec *agent.ContainerSpec) []snapshots.Opt {
	if spec.FirstUser == 0 {
		return nil
	}
	return []snapshots.Opt{client.WithUserNSRemapperLabels(users(spec), users(spec))}
}

// withUsers says whose the files are. What is mounted from the machine appears with the users that it has there: root's is
// the container's root's.
func withUsers(spec *agent.ContainerSpec) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		if spec.FirstUser == 0 {
			return nil
		}
		s.Linux.UIDMappings, s.Linux.GIDMappings = users(spec), users(spec)
		for i := range s.Mounts {
			if m := &s.Mounts[i]; m.Type == "bind" {
				m.UIDMappings, m.GIDMappings = users(spec), users(spec)
			}
		}
		return nil
	}
}
