package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"golang.org/x/sync/singleflight"

	"covey.dev/covey/agent/keyring"
)

// puller pulls an image once when several containers want it at the same time.
type puller struct {
	runtime  Images
	holders  Holders // nil: there are no other nodes
	registry Registry
	arrived  func(ctx context.Context) // called after an image came
	group    singleflight.Group
	ctx      context.Context // ends with the agent; set before the first pull
	running  sync.WaitGroup
}

// pulled is an image and how long its pull took.
type pulled struct {
	Pulled
	took time.Duration
}

// pull shares a pull that is under way with the same credentials; each caller gives up with its own ctx. When there are
// several credentials for the image it tries them in their order.
func (p *puller) pull(ctx context.Context, req PullRequest, ring *keyring.Keyring) (pulled, error) {
	tries := ring.For(req.Ref)
	result := p.group.DoChan(fmt.Sprintf("%s %t %q", req.Ref, req.Refresh, tries), func() (any, error) {
		if !req.Refresh {
			if image, err := p.runtime.Image(p.ctx, req.Ref); err == nil {
				return pulled{Pulled: Pulled{Image: image}}, nil // it has come since the caller looked
			}
		}
		begun := time.Now()
		got, err := p.tryEach(req, ring, tries)
		if err == nil {
			p.running.Go(func() { p.arrived(p.ctx) })
		}
		return pulled{got, time.Since(begun)}, err
	})
	var r singleflight.Result
	done := make(chan struct{})
	p.running.Go(func() { // so that the agent does not end before the pull does
		defer close(done)
		r = <-result
	})
	select {
	case <-ctx.Done():
		return pulled{}, ctx.Err()
	case <-done:
		if r.Err != nil {
			return pulled{}, r.Err
		}
		return r.Val.(pulled), nil
	}
}

func (p *puller) tryEach(req PullRequest, ring *keyring.Keyring, tries []keyring.Credential) (got Pulled, err error) {
	req.Holders, req.Registry = p.holders, p.registry
	if len(tries) == 0 {
		req.Auth = credentials(req.Ref, ring, nil)
		return p.runtime.Pull(p.ctx, req)
	}
	for i := range tries {
		req.Auth = credentials(req.Ref, ring, &tries[i])
		if got, err = p.runtime.Pull(p.ctx, req); err == nil || p.ctx.Err() != nil {
			break
		}
	}
	return got, err
}

// credentials gives the registry of ref the credential chosen for it, and a mirror only what is meant for the mirror.
func credentials(ref string, ring *keyring.Keyring, chosen *keyring.Credential) Credentials {
	return func(host string) *RegistryAuth {
		named, err := reference.ParseDockerRef(ref)
		if err != nil {
			return nil
		}
		if domain := reference.Domain(named); host == domain || domain == "docker.io" && strings.HasSuffix(host, ".docker.io") {
			if chosen == nil {
				return nil
			}
			return &RegistryAuth{Username: chosen.Username, Password: chosen.Password}
		}
		for _, c := range ring.Lookup(host, reference.Path(named)) {
			return &RegistryAuth{Username: c.Username, Password: c.Password}
		}
		return nil
	}
}
