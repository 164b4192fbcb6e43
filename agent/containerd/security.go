package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/containerd/v2/pkg/oci"
	kernelseccomp "github.com/containerd/containerd/v2/pkg/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/account"
	"covey.dev/covey/agent/containerd/layers"
)

// withSecurity gives what a container's security context asks for.
func withSecurity(spec *agent.ContainerSpec, imageUser string) ([]oci.SpecOpts, error) {
	sc := spec.Security
	if sc == nil {
		sc = &corev1.SecurityContext{}
	}
	user, err := userString(sc, imageUser)
	if err != nil {
		return nil, err
	}
	opts := []oci.SpecOpts{withUser(user, spec.StrictGroups), withGroups(spec.SupplementalGroups), withAppArmor(spec.AppArmorProfile)}
	if sc.RunAsNonRoot != nil && *sc.RunAsNonRoot {
		opts = append(opts, withNonRoot(spec.Image))
	}
	if sc.ReadOnlyRootFilesystem != nil && *sc.ReadOnlyRootFilesystem {
		opts = append(opts, oci.WithRootFSReadonly())
	}
	if sc.Privileged != nil && *sc.Privileged {
		return append(opts,
			oci.WithAllCurrentCapabilities, oci.WithMaskedPaths(nil), oci.WithReadonlyPaths(nil),
			oci.WithWriteableSysfs, oci.WithWriteableCgroupfs, oci.WithNewPrivileges,
			oci.WithHostDevices, oci.WithAllDevicesAllowed,
		), nil
	}
	if sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation {
		opts = append(opts, oci.WithNoNewPrivileges)
	} else {
		opts = append(opts, oci.WithNewPrivileges)
	}
	if sc.ProcMount != nil && *sc.ProcMount == corev1.UnmaskedProcMount {
		opts = append(opts, oci.WithMaskedPaths(nil), oci.WithReadonlyPaths(nil))
	}
	opts = append(opts, withCapabilities(sc.Capabilities))
	profile, err := withSeccomp(sc.SeccompProfile, spec.SeccompDir)
	if err != nil {
		return nil, err
	}
	return append(opts, profile...), nil // after the capabilities, which the default profile depends on
}

// userString merges the security context's user and group with the image's user.
func userString(sc *corev1.SecurityContext, imageUser string) (string, error) {
	user, group, _ := strings.Cut(imageUser, ":")
	if sc.RunAsUser != nil {
		user, group = strconv.FormatInt(*sc.RunAsUser, 10), ""
	}
	if sc.RunAsGroup != nil {
		group = strconv.FormatInt(*sc.RunAsGroup, 10)
		if user == "" {
			user = "0"
		}
	}
	for _, id := range []*int64{sc.RunAsUser, sc.RunAsGroup} {
		if id != nil && (*id < 0 || *id > 1<<31-1) {
			return "", fmt.Errorf("%w: user or group %d is out of range", agent.ErrInvalidSpec, *id)
		}
	}
	if group != "" {
		return user + ":" + group, nil
	}
	return user, nil
}

// withUser sets user, group and the groups that the image's /etc/group gives the user; when strict, only user and group.
func withUser(asked string, strict bool) oci.SpecOpts {
	return func(ctx context.Context, c oci.Client, container *containers.Container, s *oci.Spec) error {
		mounts, err := c.SnapshotService(container.Snapshotter).Mounts(ctx, container.SnapshotKey)
		if err != nil {
			return fmt.Errorf("look for user %q: %w", asked, err)
		}
		return layers.View(ctx, mounts, func(root fs.FS) error {
			found, err := account.Find(root, asked)
			if err != nil {
				return fmt.Errorf("%w: user %q: %w", agent.ErrInvalidSpec, asked, err)
			}
			s.Process.User.UID, s.Process.User.GID, s.Process.User.AdditionalGids = found.UID, found.GID, found.AdditionalGids
			if strict {
				s.Process.User.AdditionalGids = []uint32{found.GID}
			}
			return nil
		})
	}
}

func withAppArmor(profile string) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		s.Process.ApparmorProfile = profile
		return nil
	}
}

func withGroups(groups []int64) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		for _, g := range groups {
			if id := uint32(g); !slices.Contains(s.Process.User.AdditionalGids, id) {
				s.Process.User.AdditionalGids = append(s.Process.User.AdditionalGids, id)
			}
		}
		return nil
	}
}

// withNonRoot refuses root, once the user is known.
func withNonRoot(image string) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		if s.Process.User.UID == 0 {
			return fmt.Errorf("%w: runAsNonRoot is set and image %s runs as root: set runAsUser", agent.ErrInvalidSpec, image)
		}
		return nil
	}
}

// withCapabilities changes containerd's default set: ALL before single ones, and what is dropped wins.
func withCapabilities(change *corev1.Capabilities) oci.SpecOpts {
	return func(ctx context.Context, c oci.Client, container *containers.Container, s *oci.Spec) error {
		if change == nil {
			return nil
		}
		caps := slices.Clone(s.Process.Capabilities.Bounding)
		if slices.ContainsFunc(change.Add, isAll) {
			all, err := cap.Current()
			if err != nil {
				return err
			}
			caps = all
		}
		if slices.ContainsFunc(change.Drop, isAll) {
			caps = nil
		}
		for _, add := range change.Add {
			name, err := capability(add)
			if err != nil {
				return err
			}
			if name != "" && !slices.Contains(caps, name) {
				caps = append(caps, name)
			}
		}
		for _, drop := range change.Drop {
			name, err := capability(drop)
			if err != nil {
				return err
			}
			caps = slices.DeleteFunc(caps, func(have string) bool { return have == name })
		}
		return oci.WithCapabilities(caps)(ctx, c, container, s)
	}
}

func isAll(c corev1.Capability) bool { return strings.EqualFold(string(c), "ALL") }

// capability gives the kernel's name; "" for ALL.
func capability(c corev1.Capability) (string, error) {
	if isAll(c) {
		return "", nil
	}
	name := strings.ToUpper(string(c))
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	if !slices.Contains(cap.Known(), name) {
		return "", fmt.Errorf("%w: unknown capability %q", agent.ErrInvalidSpec, c)
	}
	return name, nil
}

var kernelHasSeccomp = sync.OnceValue(kernelseccomp.IsEnabled)

// withSeccomp takes the runtime's default profile unless told otherwise.
func withSeccomp(profile *corev1.SeccompProfile, dir string) ([]oci.SpecOpts, error) {
	kind := corev1.SeccompProfileTypeRuntimeDefault
	if profile != nil {
		kind = profile.Type
	}
	switch kind {
	case corev1.SeccompProfileTypeUnconfined:
		return nil, nil
	case corev1.SeccompProfileTypeRuntimeDefault:
		if !kernelHasSeccomp() {
			return nil, nil
		}
		return []oci.SpecOpts{seccomp.WithDefaultProfile(), withoutX32}, nil
	case corev1.SeccompProfileTypeLocalhost:
		local, err := localProfile(dir, profile.LocalhostProfile)
		if err != nil {
			return nil, fmt.Errorf("%w: seccompProfile.localhostProfile: %w", agent.ErrInvalidSpec, err)
		}
		return []oci.SpecOpts{func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
			s.Linux.Seccomp = local
			return nil
		}}, nil
	default:
		return nil, fmt.Errorf("%w: seccompProfile.type %s is not known", agent.ErrInvalidSpec, kind)
	}
}

// withoutX32 leaves the x32 ABI out of a profile: what makes its calls, which nearly all kernels have switched off, is ended.
// It shares its numbers with x86-64, and a filter for both takes libseccomp 10 ms of a core more to make, for each container.
func withoutX32(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	if s.Linux == nil || s.Linux.Seccomp == nil {
		return nil
	}
	s.Linux.Seccomp.Architectures = slices.DeleteFunc(s.Linux.Seccomp.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	return nil
}

// localProfile reads a profile, in the form that the OCI runtime specification gives it, from the node's folder of them.
func localProfile(dir string, name *string) (*specs.LinuxSeccomp, error) {
	if !kernelHasSeccomp() {
		return nil, errors.New("this kernel has no seccomp")
	}
	if name == nil {
		return nil, errors.New("is missing")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%q: the node has no profiles: %w", *name, err)
	}
	defer func() { _ = root.Close() }()
	content, err := root.ReadFile(*name)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", *name, err)
	}
	profile := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(content, profile); err != nil {
		return nil, fmt.Errorf("%q: %w", *name, err)
	}
	return profile, nil
}
