package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"covey.dev/covey/agent"
)

// Load implements agent.Images. An image without a name in the archive gets one from the day and its digest.
func (r *Runtime) Load(ctx context.Context, archive io.Reader) ([]agent.Image, error) {
	ctx = r.in(ctx)
	plain, err := compression.DecompressStream(archive)
	if err != nil {
		return nil, fmt.Errorf("load image archive: %w", err)
	}
	defer plain.Close()
	ctx, release, err := r.client.WithLease(ctx)
	if err != nil {
		return nil, fmt.Errorf("load image archive: %w", err)
	}
	defer func() { _ = release(context.WithoutCancel(ctx)) }()
	imported, err := r.client.Import(ctx, plain,
		client.WithImageRefTranslator(func(name string) string {
			full, err := normalise(name)
			if err != nil {
				return ""
			}
			return full
		}),
		client.WithDigestRef(func(d digest.Digest) string {
			return "docker.io/library/import-" + time.Now().UTC().Format("2006-01-02") + "@" + d.String()
		}),
		client.WithSkipDigestRef(func(name string) bool { return name != "" }),
		client.WithSkipMissing(), // other platforms' parts may be left out of an archive
	)
	if isNotFound(err) {
		return nil, fmt.Errorf("load image archive: it holds no image for %s: %w", platforms.DefaultString(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("load image archive (is it an OCI or docker archive?): %w", err)
	}
	if len(imported) == 0 {
		return nil, errors.New("load image archive: it holds no image")
	}
	return r.adopt(ctx, imported)
}

// adopt unpacks imported images and gives them their full names.
func (r *Runtime) adopt(ctx context.Context, imported []images.Image) ([]agent.Image, error) {
	var loaded []agent.Image
	for _, raw := range imported {
		named, err := r.rename(ctx, raw)
		if err != nil {
			return nil, fmt.Errorf("load image %s: %w", raw.Name, err)
		}
		image := client.NewImage(r.client, named)
		if err := image.Unpack(ctx, r.snapshotter); err != nil {
			if isNotFound(err) {
				_ = r.client.ImageService().Delete(ctx, named.Name)
				return nil, fmt.Errorf("load image %s: the archive does not hold all of it for %s: %w", named.Name, platforms.DefaultString(), err)
			}
			return nil, fmt.Errorf("unpack image %s: %w", named.Name, err)
		}
		described, err := describe(ctx, image)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(loaded, func(have agent.Image) bool { return have.Ref == described.Ref }) {
			loaded = append(loaded, described)
		}
	}
	return loaded, nil
}

// rename gives an imported image its full name.
func (r *Runtime) rename(ctx context.Context, image images.Image) (images.Image, error) {
	full, err := normalise(image.Name)
	if err != nil || full == image.Name {
		return image, err
	}
	short := image.Name
	image.Name = full
	service := r.client.ImageService()
	named, err := service.Update(ctx, image, "target")
	if isNotFound(err) {
		named, err = service.Create(ctx, image)
	}
	if err != nil {
		return images.Image{}, err
	}
	return named, service.Delete(ctx, short)
}
