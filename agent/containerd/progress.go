package containerd

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// progressEvery is how often the progress of a pull is told.
const progressEvery = 200 * time.Millisecond

// pullProgress tells how far the parts of an image are.
type pullProgress struct {
	name    string
	tell    func(agent.PullProgress)
	content content.Store

	mu    sync.Mutex
	parts map[digest.Digest]*part
	order []digest.Digest
}

type part struct {
	ref   string // by which the content store knows it while it is fetched
	total int64
	done  bool
}

// saw is called with each part of the image before it is fetched.
func (p *pullProgress) saw(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.parts[desc.Digest]; !known {
		p.parts[desc.Digest] = &part{ref: remotes.MakeRefKey(ctx, desc), total: desc.Size}
		p.order = append(p.order, desc.Digest)
	}
	return nil, nil
}

// start tells the progress now and then until the function that it returns is called.
func (p *pullProgress) start(ctx context.Context) (stop func()) {
	if p.tell == nil {
		return func() {}
	}
	p.report(agent.PullProgress{Item: p.name, Status: "resolving"})
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
	offsets := map[string]int64{}
	for _, s := range active {
		offsets[s.Ref] = s.Offset
	}
	p.mu.Lock()
	var news []agent.PullProgress
	for _, d := range p.order {
		state := p.parts[d]
		if state.done {
			continue
		}
		item := agent.PullProgress{Item: d.String(), Status: "downloading", Offset: offsets[state.ref], Total: state.total}
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

// dropWrong drops the image's parts that were fetched whole and are not what their digests say.
func (p *pullProgress) dropWrong(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, d := range p.order {
		part := p.parts[d]
		status, err := p.content.Status(ctx, part.ref)
		if err == nil && status.Offset >= part.total {
			errs = append(errs, p.content.Abort(ctx, part.ref))
		}
	}
	return errors.Join(errs...)
}

func (p *pullProgress) report(item agent.PullProgress) {
	if p.tell != nil {
		p.tell(item)
	}
}
