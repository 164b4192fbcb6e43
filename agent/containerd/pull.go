package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

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
)

// progressEvery is how often the progress of a pull is told.
const progressEvery = 200 * time.Millisecond

// Pull implements agent.Images. Mirrors and certificates come from hosts.toml files below Config.HostDir.
func (r *Runtime) Pull(ctx context.Context, ref string, auth agent.Credentials, progress func(agent.PullProgress)) (agent.Image, error) {
	name, err := normalise(ref)
	if err != nil {
		return agent.Image{}, err
	}
	image, err := r.pull(r.in(ctx), name, auth, progress)
	if errdefs.IsNotFound(err) {
		return agent.Image{}, fmt.Errorf("failed to pull and unpack image %q: %w: %w", name, agent.ErrNotFound, err)
	}
	if err != nil {
		return agent.Image{}, fmt.Errorf("failed to pull and unpack image %q: %w", name, err)
	}
	return describe(r.in(ctx), image)
}

func (r *Runtime) pull(ctx context.Context, name string, auth agent.Credentials, progress func(agent.PullProgress)) (client.Image, error) {
	ctx, release, err := r.holdParts(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, guard := guardStalls(ctx, r.cfg.PullTimeout)
	defer guard.stop()
	p := &pullProgress{tell: progress, content: r.client.ContentStore(), parts: map[digest.Digest]*part{}}
	stop := p.start(ctx, name)
	image, err := r.client.Pull(ctx, name,
		client.WithPullUnpack,
		client.WithPullSnapshotter(r.snapshotter),
		client.WithResolver(r.resolver(ctx, auth, guard)),
		client.WithImageHandler(images.HandlerFunc(p.saw)),
	)
	stop()
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
			err = cause
		}
		return nil, errors.Join(err, release(false))
	}
	p.report(agent.PullProgress{Item: name, Status: "done"})
	return image, release(true)
}

// pullLease begins the names of the leases on the parts of images that are being pulled.
const pullLease = "covey-pull-"

// partsKept is how long the parts of an image that was not pulled to its end stay.
const partsKept = 24 * time.Hour

// holdParts keeps what is fetched of an image until release is called after a pull that came to its end, so that the next
// try need not fetch it again, nor the first half of a layer, even when covey was killed meanwhile.
func (r *Runtime) holdParts(ctx context.Context, name string) (_ context.Context, release func(pulled bool) error, err error) {
	lease := leases.Lease{ID: pullLease + digest.FromString(name).Encoded()}
	service := r.client.LeasesService()
	r.countPull(lease.ID, 1)
	_, err = service.Create(ctx, leases.WithID(lease.ID), leases.WithExpiration(partsKept))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		r.countPull(lease.ID, -1)
		return nil, nil, fmt.Errorf("keep the parts of the image: %w", err)
	}
	return leases.WithLease(ctx, lease.ID), func(pulled bool) error {
		if left := r.countPull(lease.ID, -1); left > 0 || !pulled {
			return nil
		}
		if err := service.Delete(ctx, lease); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("release the parts of the image: %w", err)
		}
		return nil
	}, nil
}

// countPull counts the pulls that are under way with a lease, and gives their number.
func (r *Runtime) countPull(lease string, by int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pulls[lease] += by
	left := r.pulls[lease]
	if left == 0 {
		delete(r.pulls, lease)
	}
	return left
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
