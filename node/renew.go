package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/keys"
)

const (
	renewRetryFirst = time.Second
	renewRetryMost  = time.Minute
	// renewLook is the longest time without a look at the clock, which may be set meanwhile.
	renewLook = 24 * time.Hour
)

// renewer replaces a certificate in time, whatever the clock says.
type renewer struct {
	now     func() time.Time // the time by which certificates are judged
	renewAt func() time.Time // when the one that there is has to be replaced
	renew   func(context.Context) error
	changed func() <-chan struct{} // closed when another CA signs
	log     *slog.Logger
}

// renew asks servers for another certificate when a third of the life of the one that there is is left, and when another CA signs,
// until ctx ends.
func (w *worker) renew(ctx context.Context) error {
	r := renewer{now: w.clock.Now, renewAt: w.identity.RenewAt, renew: w.renewNow, changed: w.keysChanged.wait, log: w.log}
	r.run(ctx)
	return nil
}

func (r renewer) run(ctx context.Context) {
	since, agrees := time.Now(), true
	changed := r.changed()
	for {
		agrees = agrees || r.left() > 0
		timer := time.NewTimer(r.wait(time.Since(since), agrees))
		select {
		case <-timer.C:
			if r.wait(time.Since(since), agrees) > 0 {
				continue
			}
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		changed = r.changed()
		if !r.replace(ctx) {
			return
		}
		since, agrees = time.Now(), r.left() > 0
	}
}

// left is the time that the clock gives the certificate.
func (r renewer) left() time.Duration { return r.renewAt().Sub(r.now()) }

// wait is how long to wait before looking again; 0 or less is that the certificate is due: when the clock says so, unless it said that of
// one that was just made, or when it has been there for long, which a clock that is behind would not say.
func (r renewer) wait(elapsed time.Duration, agrees bool) time.Duration {
	due := identity.RenewAfter - elapsed
	if agrees {
		due = min(due, r.left())
	}
	return min(due, renewLook)
}

// replace tries until it has another certificate, and returns false when ctx ends before.
func (r renewer) replace(ctx context.Context) bool {
	for wait := renewRetryFirst; ctx.Err() == nil; wait = min(2*wait, renewRetryMost) {
		err := r.renew(ctx)
		if err == nil {
			return true
		}
		r.log.Warn("this node's certificate is not renewed yet", "until", r.renewAt(), "error", err)
		if !sleep(ctx, wait) {
			return false
		}
	}
	return false
}

func (w *worker) renewNow(ctx context.Context) error {
	request, err := w.identity.Request()
	if err != nil {
		return err
	}
	cert, err := w.certify(ctx, request)
	if err != nil {
		return err
	}
	if err := w.identity.Renew(cert); err != nil {
		return err
	}
	w.log.Info("this node's certificate is renewed", "renewAt", w.identity.RenewAt())
	return nil
}

// certify has one of the servers make a certificate. It proves the key alone: the certificate that there is may be of a CA that is trusted no
// more, and then no server lets this worker follow it, or join the gossip, so that it knows only where nodes were.
func (w *worker) certify(ctx context.Context, request []byte) ([]byte, error) {
	var dials []func(context.Context) (net.Conn, error)
	servers, _ := w.servers()
	for _, server := range servers {
		dials = append(dials, func(ctx context.Context) (net.Conn, error) {
			return w.links.DialServer(ctx, server, identity.KeyProtocol)
		})
	}
	for _, address := range append(gossip.Remembered(filepath.Join(w.cfg.DataDir, peersFile)), w.cfg.Join...) {
		dials = append(dials, func(ctx context.Context) (net.Conn, error) {
			return w.links.DialServerAt(ctx, address, identity.KeyProtocol)
		})
	}
	errs := []error{errors.New("no server can be asked")}
	for _, dial := range dials {
		asking, cancel := context.WithTimeout(ctx, fetchTimeout)
		cert, err := keys.Renew(asking, dial, request)
		cancel()
		if err == nil {
			return cert, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
