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
	imported, err := r.client.Import(ctx, r.guardSpace(plain),
		client.WithImageLabels(map[string]string{labelLoaded: "true"}),
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
	if errors.Is(err, errNoSpace) {
		return nil, fmt.Errorf("load image archive: %w", err)
	}
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

// guardSpace keeps an archive from filling the disk, where it is this process that writes it there.
func (r *Runtime) guardSpace(archive io.Reader) io.Reader {
	if r.cfg.Containerd != "" {
		return archive
	}
	return &spaceGuard{Reader: archive, space: func() (free, total uint64, err error) { return r.cfg.diskSpace(r.cfg.Root) }}
}

// adopt unpacks imported images and gives them their full names. What cannot be unpacked does not stay.
func (r *Runtime) adopt(ctx context.Context, imported []images.Image) ([]agent.Image, error) {
	var loaded []agent.Image
	for i, raw := range imported {
		described, err := r.adoptOne(ctx, raw)
		if err != nil {
			for _, rest := range imported[i:] {
				_ = r.client.ImageService().Delete(ctx, rest.Name) // it may be there no more
			}
			return nil, err
		}
		if !slices.ContainsFunc(loaded, func(have agent.Image) bool { return have.Ref == described.Ref }) {
			loaded = append(loaded, described)
		}
	}
	return loaded, nil
}

func (r *Runtime) adoptOne(ctx context.Context, raw images.Image) (agent.Image, error) {
	named, err := r.rename(ctx, raw)
	if err != nil {
		return agent.Image{}, fmt.Errorf("load image %s: %w", raw.Name, err)
	}
	image := client.NewImage(r.client, named)
	err = image.Unpack(ctx, r.snapshotter)
	var described agent.Image
	if err == nil {
		described, err = describe(ctx, image)
	}
	if err == nil {
		return described, nil
	}
	_ = r.client.ImageService().Delete(ctx, named.Name) // the error to tell is the other one
	if isNotFound(err) {
		return agent.Image{}, fmt.Errorf("load image %s: the archive does not hold all of it for %s: %w", named.Name, platforms.DefaultString(), err)
	}
	return agent.Image{}, fmt.Errorf("unpack image %s: %w", named.Name, err)
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
	named, err := service.Update(ctx, image, "target", "labels."+labelLoaded)
	if isNotFound(err) {
		named, err = service.Create(ctx, image)
	}
	if err != nil {
		return images.Image{}, err
	}
	return named, service.Delete(ctx, short)
}
