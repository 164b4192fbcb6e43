package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/cgroup"
)

const (
	// annotationShimGroup has runc's shim take containers of one value into one process.
	annotationShimGroup = "io.containerd.runc.v2.group"
	// annotationStdin marks a container whose standard input stays open.
	annotationStdin = "covey.dev/stdin"
)

// ociSpec gives what makes a container's OCI spec, beginning with containerd's default for this platform.
func (r *Runtime) ociSpec(ctx context.Context, spec *agent.ContainerSpec, image client.Image, group, cgroup string) ([]oci.SpecOpts, error) {
	config, err := imageConfig(ctx, image)
	if err != nil {
		return nil, err
	}
	args := command(spec, config)
	if len(args) == 0 {
		return nil, fmt.Errorf("%w: neither the container nor its image %s names a command", agent.ErrInvalidSpec, spec.Image)
	}
	cwd := spec.WorkingDir
	if cwd == "" {
		cwd = config.WorkingDir
	}
	if cwd == "" {
		cwd = "/"
	}
	annotations := map[string]string{annotationShimGroup: group}
	if spec.Stdin {
		annotations[annotationStdin] = "open"
		if spec.StdinOnce {
			annotations[annotationStdin] = "once"
		}
	}
	opts := []oci.SpecOpts{
		oci.WithDefaultSpec(),
		oci.WithDefaultUnixDevices,
		oci.WithProcessArgs(args...),
		oci.WithProcessCwd(cwd),
		oci.WithEnv([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}),
		oci.WithEnv(config.Env),
		oci.WithEnv(spec.Env),
		oci.WithAnnotations(annotations),
		oci.WithCgroup(cgroup),
		withoutRlimits,
		withNamespaces(spec),
		withMounts(spec),
		withUsers(spec),
		r.withResources(spec.Resources),
	}
	if spec.TTY {
		opts = append(opts, oci.WithTTY)
		opts = append(opts, oci.WithEnv(append([]string{"TERM=xterm"}, spec.Env...)))
	}
	security, err := withSecurity(spec, config.User)
	if err != nil {
		return nil, err
	}
	return append(append(opts, security...), withDevices(spec.Devices)), nil
}

// command is what the container runs: as in Kubernetes a command replaces the image's entrypoint and its arguments.
func command(spec *agent.ContainerSpec, config ocispec.ImageConfig) []string {
	switch {
	case spec.Command != nil:
		return slices.Concat(spec.Command, spec.Args)
	case spec.Args != nil:
		return slices.Concat(config.Entrypoint, spec.Args)
	default:
		return slices.Concat(config.Entrypoint, config.Cmd)
	}
}

// imageConfig reads an image's configuration for this platform.
func imageConfig(ctx context.Context, image client.Image) (ocispec.ImageConfig, error) {
	desc, err := image.Config(ctx)
	if err != nil {
		return ocispec.ImageConfig{}, fmt.Errorf("configuration of image %s: %w", image.Name(), err)
	}
	blob, err := content.ReadBlob(ctx, image.ContentStore(), desc)
	if err != nil {
		return ocispec.ImageConfig{}, fmt.Errorf("configuration of image %s: %w", image.Name(), err)
	}
	var whole ocispec.Image
	if err := json.Unmarshal(blob, &whole); err != nil {
		return ocispec.ImageConfig{}, fmt.Errorf("configuration of image %s: %w", image.Name(), err)
	}
	return whole.Config, nil
}

// withoutRlimits leaves the limits as covey has them; containerd's default of 1024 open files is too low for servers.
func withoutRlimits(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	s.Process.Rlimits = nil
	return nil
}

// hostNamespace in the place of a namespace's path is the machine's own.
const hostNamespace = "host"

// withNamespaces joins namespaces that exist, shares the machine's, and leaves the rest new.
func withNamespaces(spec *agent.ContainerSpec) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		paths := map[specs.LinuxNamespaceType]string{}
		for name, path := range spec.Namespaces {
			paths[specs.LinuxNamespaceType(name)] = path
		}
		if spec.HostPID {
			paths[specs.PIDNamespace] = hostNamespace
		}
		if spec.HostIPC {
			paths[specs.IPCNamespace] = hostNamespace
		}
		kept := s.Linux.Namespaces[:0]
		ownUTS := false
		for _, ns := range s.Linux.Namespaces {
			if paths[ns.Type] == hostNamespace {
				continue
			}
			ns.Path = paths[ns.Type]
			ownUTS = ownUTS || (ns.Type == specs.UTSNamespace && ns.Path == "")
			kept = append(kept, ns)
		}
		if path := paths[specs.UserNamespace]; path != "" {
			kept = append(kept, specs.LinuxNamespace{Type: specs.UserNamespace, Path: path})
		}
		if cgroup.Unified() {
			kept = append(kept, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}
		s.Linux.Namespaces = kept
		if ownUTS {
			s.Hostname = spec.Hostname
		}
		return nil
	}
}

// withMounts adds the caller's mounts over the usual ones.
func withMounts(spec *agent.ContainerSpec) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		taken := map[string]bool{"/run": true} // an image's /run stays visible
		for _, m := range spec.Mounts {
			taken[filepath.Clean(m.Target)] = true
		}
		mounts := slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return taken[filepath.Clean(m.Destination)] })
		if !taken["/sys/fs/cgroup"] {
			// Programs read their limits there.
			mounts = append(mounts, specs.Mount{
				Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
				Options: []string{"ro", "nosuid", "noexec", "nodev", "relatime"},
			})
		}
		given := slices.Clone(spec.Mounts)
		slices.SortStableFunc(given, func(a, b agent.Mount) int { return depth(a.Target) - depth(b.Target) })
		for _, m := range given {
			mounts = append(mounts, ociMount(m))
			if m.Propagation == "rshared" {
				s.Linux.RootfsPropagation = "rshared"
			} else if m.Propagation == "rslave" && s.Linux.RootfsPropagation == "" {
				s.Linux.RootfsPropagation = "rslave"
			}
		}
		s.Mounts = mounts
		return nil
	}
}

// depth orders mounts so that one below another comes after it.
func depth(path string) int {
	n := 0
	for path = filepath.Clean(path); path != "/" && path != "."; path = filepath.Dir(path) {
		n++
	}
	return n
}

func ociMount(m agent.Mount) specs.Mount {
	access := "rw"
	if m.ReadOnly {
		access = "ro"
	}
	if m.Source == "" {
		return specs.Mount{
			Destination: m.Target, Type: "tmpfs", Source: "tmpfs",
			Options: append([]string{access, "nosuid", "nodev"}, m.Options...),
		}
	}
	propagation := m.Propagation
	if propagation == "" {
		propagation = "rprivate"
	}
	return specs.Mount{
		Destination: m.Target, Type: "bind", Source: m.Source,
		Options: append([]string{"rbind", propagation, access}, m.Options...),
	}
}
