package containerd

import (
	"context"
	"regexp"

	"github.com/containerd/containerd/v2/core/leases"
)

// creationLease keeps containerd from taking a container's snapshot for garbage before it has the container. That there is one
// for all, where containerd's client would make one for each, saves each container four waits for the disk. The snapshots stay
// in it, and are to be removed under it, which takes them out.
const creationLease = "covey-creation"

// clientLease is the form of the names that containerd's client gives to leases for the time of one call.
var clientLease = regexp.MustCompile(`^[0-9]{1,9}-[A-Za-z0-9_-]{4}$`)

// openLeases ends the leases of what a covey that was killed did not bring to an end; they would hold what nobody uses. With the
// machine's own containerd there may be others whose calls go on.
func (r *Runtime) openLeases(ctx context.Context) error {
	if r.cfg.Containerd != "" {
		return nil
	}
	service := r.client.LeasesService()
	held, err := service.List(ctx)
	if err != nil {
		return err
	}
	for _, lease := range held {
		if lease.ID != creationLease && !clientLease.MatchString(lease.ID) {
			continue
		}
		if err := service.Delete(ctx, lease); err != nil && !isNotFound(err) {
			return err
		}
	}
	_, err = service.Create(ctx, leases.WithID(creationLease))
	return err
}

// leased is for the calls that make and remove a container's snapshot.
func (r *Runtime) leased(ctx context.Context) context.Context {
	if r.cfg.Containerd != "" {
		return ctx // where the lease may go away with containerd's database
	}
	return leases.WithLease(ctx, creationLease)
}
