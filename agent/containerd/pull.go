package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	hosts "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pelletier/go-toml/v2"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/fetch"
)

// Pull implements agent.Images. Mirrors and certificates come from hosts.toml files below Config.HostDir.
func (r *Runtime) Pull(ctx context.Context, req agent.PullRequest) (agent.Pulled, error) {
	name, err := normalise(req.Ref)
	if err != nil {
		return agent.Pulled{}, err
	}
	req.Ref = name
	pulled, err := r.pull(r.in(ctx), req)
	if errdefs.IsNotFound(err) {
		return agent.Pulled{}, fmt.Errorf("failed to pull and unpack image %q: %w: %w", name, agent.ErrNotFound, err)
	}
	if err != nil {
		return agent.Pulled{}, fmt.Errorf("failed to pull and unpack image %q: %w", name, err)
	}
	return pulled, nil
}

func (r *Runtime) pull(ctx context.Context, req agent.PullRequest) (agent.Pulled, error) {
	ctx, release, err := r.holdParts(ctx, req.Ref)
	if err != nil {
		return agent.Pulled{}, err
	}
	ctx, guard := guardStalls(ctx, r.cfg.PullTimeout)
	defer guard.stop()
	p := &pullProgress{name: req.Ref, tell: req.Progress, content: r.client.ContentStore(), parts: map[digest.Digest]*part{}}
	stop := p.start(ctx)
	pulled, err := r.findAndFetch(ctx, req, guard, p)
	stop()
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
			err = cause
		}
		return agent.Pulled{}, errors.Join(err, release(false))
	}
	p.report(agent.PullProgress{Item: req.Ref, Status: "done"})
	return pulled, release(true)
}

func (r *Runtime) findAndFetch(ctx context.Context, req agent.PullRequest, guard *stallGuard, p *pullProgress) (agent.Pulled, error) {
	found, err := fetch.Find(ctx, fetch.Request{
		Ref: req.Ref, Refresh: req.Refresh, Auth: req.Auth, Holders: req.Holders,
		Registry: func(auth agent.Credentials) remotes.Resolver { return r.resolver(ctx, auth, guard) },
		Pushed: func(ctx context.Context) (ocispec.Descriptor, error) {
			if req.Registry == nil {
				return ocispec.Descriptor{}, errdefs.ErrNotFound
			}
			return req.Registry.Resolve(ctx, req.Ref)
		},
		Here: func(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
			return r.client.ContentStore().ReaderAt(inPushed(ctx), desc)
		},
		Local: func() (ocispec.Descriptor, map[string]string, bool) {
			image, err := r.client.ImageService().Get(ctx, req.Ref)
			return image.Target, image.Labels, err == nil
		},
	})
	if err != nil {
		return agent.Pulled{}, err
	}
	image, err := r.fetch(ctx, found, p)
	if errdefs.IsFailedPrecondition(err) && ctx.Err() == nil { // a part is not what its digest says
		again, distrusted, findErr := found.Distrust(ctx)
		if findErr != nil {
			return agent.Pulled{}, errors.Join(err, findErr)
		}
		if distrusted {
			r.log.Warn("another node sent what is not the image: it is fetched from its registry", "image", req.Ref, "err", err)
			found = again
			image, err = r.fetch(ctx, found, p)
		}
	}
	if err != nil {
		return agent.Pulled{}, err
	}
	described, err := describe(ctx, image)
	return agent.Pulled{Image: described, From: found.From(), Unasked: found.Unasked}, err
}

// fetch pulls what was found. Parts that turn out to be wrong are dropped, so that the next try does not go on with them.
func (r *Runtime) fetch(ctx context.Context, found *fetch.Image, p *pullProgress) (client.Image, error) {
	image, err := r.client.Pull(ctx, p.name,
		client.WithPullUnpack,
		client.WithPullSnapshotter(r.snapshotter),
		client.WithResolver(found),
		client.WithPullLabels(found.Labels),
		client.WithImageHandler(images.HandlerFunc(p.saw)),
	)
	if errdefs.IsFailedPrecondition(err) {
		err = errors.Join(err, p.dropWrong(ctx))
	}
	return image, err
}

// holdParts keeps what is fetched of an image until release is called after a pull that came to its end, so that the next
// try need not fetch it again, nor the first half of a layer, even when covey was killed meanwhile.
func (r *Runtime) holdParts(ctx context.Context, name string) (_ context.Context, release func(pulled bool) error, err error) {
	// Older coveys left such of another name, which end by the clock.
	lease := pullLease + "parts-" + digest.FromString(name).Encoded()
	service := r.client.LeasesService()
	if err := r.parts.hold(ctx, service, lease); err != nil {
		return nil, nil, err
	}
	return leases.WithLease(ctx, lease), func(pulled bool) error {
		return r.parts.release(ctx, service, lease, pulled)
	}, nil
}

// hostDir finds the folder with the hosts.toml of a registry. One that cannot be read is an error: going to the registry
// past the mirrors that it is to name would not be what its writer wanted.
func (r *Runtime) hostDir(host string) (string, error) {
	dir, err := hosts.HostDirFromRoot(r.cfg.HostDir)(host)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "hosts.toml")
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return dir, nil // it holds certificates only
	}
	if err == nil {
		err = toml.Unmarshal(content, &map[string]any{})
	}
	if err != nil {
		return "", fmt.Errorf("registry configuration %s: %w", file, err)
	}
	return dir, nil
}

func (r *Runtime) resolver(ctx context.Context, auth agent.Credentials, guard *stallGuard) remotes.Resolver {
	options := hosts.HostOptions{
		HostDir:      r.hostDir,
		UpdateClient: guard.watch,
	}
	if auth != nil {
		options.Credentials = func(host string) (string, string, error) {
			if c := auth(host); c != nil {
				return c.Username, c.Password, nil
			}
			return "", "", nil
		}
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: hosts.ConfigureHosts(ctx, options)})
}
