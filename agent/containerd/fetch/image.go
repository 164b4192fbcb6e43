package fetch

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// Image is what a name stands for. It is the resolver to pull it with.
type Image struct {
	Target ocispec.Descriptor
	Labels map[string]string // to be set on the image
	// Unasked is why the registry did not say what the name stands for, though it should have.
	Unasked error

	find  *finder
	nodes []string // that said that they have it

	mu       sync.Mutex
	broken   map[string]bool  // nodes that are asked no more
	received map[string]int64 // bytes, by node or registry
	fetcher  remotes.Fetcher  // of the registry
}

var _ remotes.Resolver = (*Image)(nil)

// Resolve implements remotes.Resolver with what was found.
func (i *Image) Resolve(context.Context, string) (string, ocispec.Descriptor, error) {
	return i.find.Ref, i.Target, nil
}

// Fetcher implements remotes.Resolver.
func (i *Image) Fetcher(context.Context, string) (remotes.Fetcher, error) {
	return remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		return &part{image: i, ctx: ctx, desc: desc, failed: map[string]bool{}}, nil
	}), nil
}

// Pusher implements remotes.Resolver.
func (i *Image) Pusher(context.Context, string) (remotes.Pusher, error) {
	return nil, fmt.Errorf("push %s: %w", i.find.Ref, errdefs.ErrNotImplemented)
}

// Distrust takes back what was found on nodes, after one of them sent what is not the image: the registry alone is asked then. It is
// false where no node had sent anything.
func (i *Image) Distrust(ctx context.Context) (*Image, bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, fromRegistry := i.received[i.domain()]; len(i.received) == 0 || fromRegistry && len(i.received) == 1 {
		return nil, false, nil
	}
	f := *i.find
	f.Holders = nil
	if i.domain() == agent.LocalRegistry {
		return nil, false, nil
	}
	image, err := f.askRegistry(ctx)
	return image, true, err
}

// From names the nodes and registries that it came from, those that gave most first.
func (i *Image) From() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.SortedFunc(maps.Keys(i.received), func(a, b string) int {
		return cmp.Or(cmp.Compare(i.received[b], i.received[a]), cmp.Compare(a, b))
	})
}

func (i *Image) domain() string { return reference.Domain(i.find.named) }

func (i *Image) count(source string, n int) {
	if n == 0 || source == "" {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.received[source] += int64(n)
}

// candidates are nodes to ask for a part, those that said that they have the image first.
func (i *Image) candidates(failed map[string]bool) []string {
	if i.find.Holders == nil {
		return nil
	}
	var list []string
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, node := range append(slices.Clone(i.nodes), i.find.Holders.Holders(i.Target.Digest.String())...) {
		if !failed[node] && !i.broken[node] && !slices.Contains(list, node) {
			list = append(list, node)
		}
	}
	return list
}

// leave has a node asked no more.
func (i *Image) leave(node string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.broken[node] = true
}

func (i *Image) isTarget(d digest.Digest) bool { return d == i.Target.Digest }

// fromRegistry opens a part at its registry, from an offset on.
func (i *Image) fromRegistry(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if i.domain() == agent.LocalRegistry {
		return nil, fmt.Errorf("no node that can be reached has %s (its part %s): start the node that it was pushed to, or push it again: %w", i.find.Ref, desc.Digest, errdefs.ErrNotFound)
	}
	i.mu.Lock()
	if i.fetcher == nil {
		fetcher, err := i.find.registry.Fetcher(ctx, i.find.Ref)
		if err != nil {
			i.mu.Unlock()
			return nil, fmt.Errorf("failed to get fetcher for %q: %w", i.find.Ref, err)
		}
		i.fetcher = fetcher
	}
	fetcher := i.fetcher
	i.mu.Unlock()
	rc, err := fetcher.Fetch(ctx, desc)
	if err != nil || offset == 0 {
		return rc, err
	}
	if seeker, ok := rc.(io.Seeker); ok {
		_, err = seeker.Seek(offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, rc, offset)
	}
	if err != nil {
		_ = rc.Close()
		return nil, err
	}
	return rc, nil
}
