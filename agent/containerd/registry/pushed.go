package registry

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// Pushed gives what was pushed to this node and is named by the cluster still. All else that was pushed is let go, so that the garbage
// collection takes it: tags that stand for something else now, perhaps on another node. Without a leader nobody knows what is still
// named, and all stays: what is known here may lack the last that was pushed.
func (g *Registry) Pushed(ctx context.Context) ([]agent.Image, error) {
	ctx = g.InPushed(ctx)
	unlock, err := g.lockRecords(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	records, err := g.Images.List(ctx)
	if err != nil || g.Repositories == nil || len(records) == 0 {
		return nil, err
	}
	known, current, err := g.Repositories.Look(ctx, repositoriesOf(records))
	var list []agent.Image
	errs := []error{err}
	for _, record := range records {
		repository, id := splitName(record.Name)
		manifests, ok := known[repository]
		switch {
		case !current || manifests[id].Digest == record.Target.Digest.String():
			list = append(list, agent.Image{
				Ref: record.Name, Digest: record.Target.Digest.String(), SizeBytes: record.Target.Size, CreatedAt: record.CreatedAt, Loaded: true,
			})
		case ok:
			if err := g.Images.Delete(ctx, record.Name); err != nil && !errdefs.IsNotFound(err) {
				errs = append(errs, err)
			}
		}
	}
	return list, errors.Join(errs...)
}

// lockRecords keeps other pushes from being recorded between a look at the records and the deletion of those that do not count: the
// same name may stand for something again. To delete a record only with what it stood for is no way, as containerd does not heed that
// before version 2, and the same may be pushed again.
func (g *Registry) lockRecords(ctx context.Context) (unlock func(), err error) {
	select {
	case g.recording <- struct{}{}:
		return func() { <-g.recording }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// repositoriesOf are those that records are of, each once.
func repositoriesOf(records []images.Image) []string {
	var names []string
	for _, record := range records {
		if name, _ := splitName(record.Name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
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
