package registry

import (
	"context"
	"errors"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// Pushed gives what was pushed to this node and is named by the cluster still. All else that was pushed is let go, so that the garbage
// collection takes it: tags that stand for something else now, perhaps on another node.
func (g *Registry) Pushed(ctx context.Context) ([]agent.Image, error) {
	ctx = g.InPushed(ctx)
	records, err := g.Images.List(ctx)
	if err != nil || g.Repositories == nil {
		return nil, err
	}
	var list []agent.Image
	var errs []error
	known := map[string]map[string]agent.Manifest{}
	for _, record := range records {
		named, err := g.isNamed(ctx, record, known)
		switch {
		case err != nil:
			errs = append(errs, err)
		case named:
			list = append(list, agent.Image{
				Ref: record.Name, Digest: record.Target.Digest.String(), SizeBytes: record.Target.Size, CreatedAt: record.CreatedAt, Loaded: true,
			})
		default:
			if err := g.Images.Delete(ctx, record.Name); err != nil && !errdefs.IsNotFound(err) {
				errs = append(errs, err)
			}
		}
	}
	return list, errors.Join(errs...)
}

// isNamed says whether the cluster still names a record; known are the repositories that were looked at.
func (g *Registry) isNamed(ctx context.Context, record images.Image, known map[string]map[string]agent.Manifest) (_ bool, err error) {
	repository, id := splitName(record.Name)
	manifests, ok := known[repository]
	if !ok {
		if manifests, err = g.Repositories.Repository(ctx, repository); err != nil {
			return false, err
		}
		known[repository] = manifests
	}
	return manifests[id].Digest == record.Target.Digest.String(), nil
}

// splitName takes the full name of an image apart.
func splitName(name string) (repository, id string) {
	if before, after, ok := strings.Cut(name, "@"); ok {
		return before, after
	}
	repository, id, _ = cutLast(name, ":")
	return repository, id
}

// joinName is the full name of an image by its tag or digest.
func joinName(repository, id string) string {
	if strings.Contains(id, ":") {
		return repository + "@" + id
	}
	return repository + ":" + id
}

// changed tells the agent of a change.
func (g *Registry) changed(ctx context.Context) {
	if g.Changed != nil {
		g.Changed(ctx)
	}
}

// Resolve finds what was pushed to the cluster by its full name; ErrNotFound when nothing was.
func (g *Registry) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	if g.Repositories == nil {
		return ocispec.Descriptor{}, errdefs.ErrNotFound
	}
	repository, id := splitName(ref)
	m, err := g.find(ctx, repository, id)
	var none *failure
	if errors.As(err, &none) {
		return ocispec.Descriptor{}, errdefs.ErrNotFound
	}
	return descriptor(m), err
}

func descriptor(m agent.Manifest) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: digestOf(m), Size: m.SizeBytes}
}
