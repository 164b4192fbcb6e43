package containerd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/registry"
)

// normalise gives a ref's full name: "busybox" is "docker.io/library/busybox:latest".
func normalise(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", ref, err)
	}
	return named.String(), nil
}

// findImage finds a present, unpacked image by its name or digest.
func (r *Runtime) findImage(ctx context.Context, ref string) (client.Image, error) {
	image, err := r.lookupImage(ctx, ref)
	if isNotFound(err) {
		return nil, fmt.Errorf("image %s: %w", ref, agent.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	unpacked, err := image.IsUnpacked(ctx, r.snapshotter)
	if err == nil && !unpacked {
		err = image.Unpack(ctx, r.snapshotter) // a power cut came between, or it was loaded with nerdctl
	}
	if isNotFound(err) {
		return nil, fmt.Errorf("image %s is not whole: %w", ref, agent.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack image %s: %w", ref, err)
	}
	return image, nil
}

func (r *Runtime) lookupImage(ctx context.Context, ref string) (client.Image, error) {
	if strings.HasPrefix(ref, "sha256:") {
		found, err := r.client.ListImages(ctx, "target.digest=="+ref)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, errdefs.ErrNotFound
		}
		return found[0], nil
	}
	name, err := normalise(ref)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", agent.ErrInvalidSpec, err)
	}
	return r.client.GetImage(ctx, name)
}

// Image implements agent.Images.
func (r *Runtime) Image(ctx context.Context, ref string) (agent.Image, error) {
	ctx = r.in(ctx)
	image, err := r.findImage(ctx, ref)
	if err != nil {
		return agent.Image{}, err
	}
	return describe(ctx, image)
}

// ListImages implements agent.Images. Images for other platforms only are left out.
func (r *Runtime) ListImages(ctx context.Context) ([]agent.Image, error) {
	ctx = r.in(ctx)
	all, err := r.client.ListImages(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	list := make([]agent.Image, 0, len(all))
	for _, image := range all {
		described, err := describe(ctx, image)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list images: %w", err)
		}
		list = append(list, described)
	}
	slices.SortFunc(list, func(a, b agent.Image) int { return strings.Compare(a.Ref, b.Ref) })
	return list, nil
}

func describe(ctx context.Context, image client.Image) (agent.Image, error) {
	config, err := imageConfig(ctx, image)
	if err != nil {
		return agent.Image{}, err
	}
	size, err := image.Size(ctx)
	if err != nil {
		return agent.Image{}, fmt.Errorf("size of image %s: %w", image.Name(), err)
	}
	return agent.Image{
		Ref:       image.Name(),
		Digest:    image.Target().Digest.String(),
		SizeBytes: size,
		CreatedAt: image.Metadata().CreatedAt.Truncate(time.Second),
		User:      config.User,
		Pinned:    image.Labels()[labelPinned] == "pinned",
		Loaded:    image.Labels()[labelLoaded] != "",
	}, nil
}

// pushedNamespace is containerd's namespace for what is pushed to this node, apart from the images of pods: nobody removes it to make
// room. containerd keeps on the disk once what is in both.
const pushedNamespace = Namespace + "-registry"

// Registry implements agent.Images.
func (r *Runtime) Registry(cfg agent.RegistryConfig) agent.Registry {
	return registry.New(registry.Config{
		RegistryConfig: cfg,
		Content:        r.client.ContentStore(), Images: r.client.ImageService(), Leases: r.client.LeasesService(),
		In: r.in, InPushed: inPushed, Guard: r.guardSpace, NoSpace: errNoSpace, Logger: r.log,
	})
}

func inPushed(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, pushedNamespace)
}

// RemoveImage implements agent.Images.
func (r *Runtime) RemoveImage(ctx context.Context, ref string) error {
	name, err := normalise(ref)
	if err != nil {
		return err
	}
	err = r.client.ImageService().Delete(r.in(ctx), name, images.SynchronousDelete())
	if isNotFound(err) {
		return fmt.Errorf("remove image %s: %w", ref, agent.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("remove image %s: %w", ref, err)
	}
	return nil
}
