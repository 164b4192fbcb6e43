package node

import (
	"context"
	"net"
	"time"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/keys"
)

const (
	renewRetryFirst = time.Second
	renewRetryMost  = time.Minute
)

// renew asks servers for another certificate when a third of the life of the one that there is is left, and when another CA signs,
// until ctx ends.
func (w *worker) renew(ctx context.Context) error {
	for {
		changed := w.keysChanged.wait()
		timer := time.NewTimer(w.identity.RenewAt().Sub(w.clock.Now()))
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		for wait := renewRetryFirst; ; wait = min(2*wait, renewRetryMost) {
			if ctx.Err() != nil {
				return nil
			}
			err := w.renewNow(ctx)
			if err == nil {
				break
			}
			w.log.Warn("this node's certificate is not renewed yet", "until", w.identity.RenewAt(), "error", err)
			if !sleep(ctx, wait) {
				return nil
			}
		}
	}
}

func (w *worker) renewNow(ctx context.Context) error {
	request, err := w.identity.Request()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	server, err := w.client.Server(ctx)
	if err != nil {
		return err
	}
	cert, err := keys.Renew(ctx, func(ctx context.Context) (net.Conn, error) {
		return w.links.DialServer(ctx, server, identity.KeyProtocol)
	}, request)
	if err != nil {
		return err
	}
	if err := w.identity.Renew(cert); err != nil {
		return err
	}
	w.log.Info("this node's certificate is renewed", "renewAt", w.identity.RenewAt())
	return nil
}
