package containerd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	hosts "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// progressEvery is how often the progress of a pull is told.
const progressEvery = 200 * time.Millisecond

// Pull implements agent.Images. Mirrors and certificates come from hosts.toml files below Config.HostDir.
func (r *Runtime) Pull(ctx context.Context, ref string, auth *agent.RegistryAuth, progress func(agent.PullProgress)) (agent.Image, error) {
	ctx = r.in(ctx)
	name, err := normalise(ref)
	if err != nil {
		return agent.Image{}, err
	}
	p := &pullProgress{tell: progress, content: r.client.ContentStore(), parts: map[digest.Digest]*part{}}
	stop := p.start(ctx, name)
	image, err := r.client.Pull(ctx, name,
		client.WithPullUnpack,
		client.WithPullSnapshotter(r.snapshotter),
		client.WithResolver(r.resolver(ctx, auth)),
		client.WithImageHandler(images.HandlerFunc(p.saw)),
	)
	stop()
	if errdefs.IsNotFound(err) {
		return agent.Image{}, fmt.Errorf("pull image %s: %w: %w", name, agent.ErrNotFound, err)
	}
	if err != nil {
		return agent.Image{}, fmt.Errorf("pull image %s: %w", name, err)
	}
	p.report(agent.PullProgress{Item: name, Status: "done"})
	return describe(ctx, image)
}

func (r *Runtime) resolver(ctx context.Context, auth *agent.RegistryAuth) remotes.Resolver {
	options := hosts.HostOptions{}
	if r.cfg.HostDir != "" {
		options.HostDir = hosts.HostDirFromRoot(r.cfg.HostDir)
	}
	if auth != nil {
		options.Credentials = func(string) (string, string, error) { return auth.Username, auth.Password, nil }
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: hosts.ConfigureHosts(ctx, options)})
}

// pullProgress tells how far the parts of an image are.
type pullProgress struct {
	tell    func(agent.PullProgress)
	content content.Store

	mu    sync.Mutex
	parts map[digest.Digest]*part
	order []digest.Digest
}

type part struct {
	total int64
	done  bool
}

// saw is called with each part of the image before it is fetched.
func (p *pullProgress) saw(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.parts[desc.Digest]; !known {
		p.parts[desc.Digest] = &part{total: desc.Size}
		p.order = append(p.order, desc.Digest)
	}
	return nil, nil
}

// start tells the progress now and then until the function that it returns is called.
func (p *pullProgress) start(ctx context.Context, name string) (stop func()) {
	if p.tell == nil {
		return func() {}
	}
	p.report(agent.PullProgress{Item: name, Status: "resolving"})
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.tellAll(ctx)
			}
		}
	})
	return func() {
		p.tellAll(ctx)
		cancel()
		telling.Wait()
	}
}

// tellAll tells of the parts that are being fetched, and once of those that are there.
func (p *pullProgress) tellAll(ctx context.Context) {
	active, err := p.content.ListStatuses(ctx)
	if err != nil {
		return // the pull itself will say what is wrong
	}
	offsets := map[digest.Digest]int64{}
	for _, s := range active {
		offsets[s.Expected] = s.Offset
	}
	p.mu.Lock()
	var news []agent.PullProgress
	for _, d := range p.order {
		state := p.parts[d]
		if state.done {
			continue
		}
		item := agent.PullProgress{Item: d.String(), Status: "downloading", Offset: offsets[d], Total: state.total}
		if _, err := p.content.Info(ctx, d); err == nil {
			state.done, item.Status, item.Offset = true, "done", state.total
		}
		news = append(news, item)
	}
	p.mu.Unlock()
	for _, item := range news {
		p.report(item)
	}
}

func (p *pullProgress) report(item agent.PullProgress) {
	if p.tell != nil {
		p.tell(item)
	}
}
