package containerd

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// pullLease begins the names of the leases on the parts of images that are being pulled.
const pullLease = "covey-pull-"

// partsKept is how long the parts of an image that was not pulled to its end stay after the last pull that used them.
const partsKept = 24 * time.Hour

// partsLook is how often it is looked for such as have been kept for long enough.
const partsLook = time.Hour

// partLeases keep the parts of images that were not pulled to their end. Containerd knows of no end of theirs: it would come by a
// clock that may be set meanwhile, and under a pull that goes on.
type partLeases struct {
	now func() time.Time // of time.Now's kind, which goes on evenly when the clock is set

	mu   sync.Mutex // also held while a lease is made or dropped by what uses says
	uses map[string]*partUse
}

// partUse is what is known of a lease since covey was started, which counts as a use.
type partUse struct {
	pulls int // under way
	last  time.Time
}

func newPartLeases() *partLeases { return &partLeases{now: time.Now, uses: map[string]*partUse{}} }

// hold begins a use of a lease, and makes it if it is not there.
func (p *partLeases) hold(ctx context.Context, service leases.Manager, lease string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := service.Create(ctx, leases.WithID(lease)); err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("keep the parts of the image: %w", err)
	}
	p.use(lease).pulls++
	return nil
}

// release ends a use. Once the image was pulled the last one drops the lease.
func (p *partLeases) release(ctx context.Context, service leases.Manager, lease string, pulled bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	use := p.use(lease)
	use.pulls--
	use.last = p.now()
	if use.pulls > 0 || !pulled {
		return nil
	}
	return p.drop(ctx, service, lease)
}

// dropIdle drops the leases that no pull has used for so long, and says whether there were any.
func (p *partLeases) dropIdle(ctx context.Context, service leases.Manager, long time.Duration) (dropped bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, err := service.List(ctx)
	if err != nil {
		return false, err
	}
	for _, lease := range held {
		if !strings.HasPrefix(lease.ID, pullLease) {
			continue
		}
		if use := p.use(lease.ID); use.pulls > 0 || p.now().Sub(use.last) < long {
			continue
		}
		if err := p.drop(ctx, service, lease.ID); err != nil {
			return dropped, err
		}
		dropped = true
	}
	return dropped, nil
}

// use finds a lease's use, p.mu is held.
func (p *partLeases) use(lease string) *partUse {
	if p.uses[lease] == nil {
		p.uses[lease] = &partUse{last: p.now()}
	}
	return p.uses[lease]
}

// drop gives the parts up for garbage, p.mu is held.
func (p *partLeases) drop(ctx context.Context, service leases.Manager, lease string) error {
	if err := service.Delete(ctx, leases.Lease{ID: lease}); err != nil && !isNotFound(err) {
		return fmt.Errorf("release the parts of the image: %w", err)
	}
	delete(p.uses, lease)
	return nil
}

// keepPartsTidy drops parts that have been kept for long enough, until ctx ends.
func (r *Runtime) keepPartsTidy(ctx context.Context) {
	tick := time.NewTicker(partsLook)
	defer tick.Stop()
	for {
		if err := r.dropOldParts(r.in(ctx)); err != nil && ctx.Err() == nil {
			r.log.Warn("what is left of unfinished pulls was not removed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *Runtime) dropOldParts(ctx context.Context) error {
	dropped, err := r.parts.dropIdle(ctx, r.client.LeasesService(), partsKept)
	if err != nil || !dropped {
		return err
	}
	return r.collectGarbage(ctx)
}
