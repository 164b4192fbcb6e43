package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// nextAfter is how long an address has to answer before the next one is tried beside it.
const nextAfter = 250 * time.Millisecond

type answer struct {
	at   string
	conn net.Conn
	err  error
}

// DialAt connects with the node of that ID at the first of its addresses (host:port) that answers; with an empty ID any node of
// the cluster will do.
func (l *Links) DialAt(ctx context.Context, addresses []string, nodeID, proto string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer)
	next := time.NewTimer(0)
	defer next.Stop()
	var errs []error
	for waiting := 0; len(addresses) > 0 || waiting > 0; {
		select {
		case <-next.C:
			if len(addresses) > 0 {
				at := addresses[0]
				addresses = addresses[1:]
				waiting++
				go l.try(ctx, at, nodeID, proto, answers)
				next.Reset(nextAfter)
			}
		case a := <-answers:
			waiting--
			if a.err == nil {
				if nodeID != "" {
					l.book.Reached(nodeID, a.at)
				}
				return a.conn, nil
			}
			errs = append(errs, fmt.Errorf("connect with a node at %s: %w", a.at, a.err))
			next.Reset(0)
		case <-ctx.Done():
			return nil, errors.Join(append(errs, ctx.Err())...)
		}
	}
	return nil, errors.Join(errs...)
}

// try gives its answer, unless ctx ends first.
func (l *Links) try(ctx context.Context, at, nodeID, proto string, answers chan<- answer) {
	conn, err := l.dial(ctx, at, nodeID, proto)
	select {
	case answers <- answer{at, conn, err}:
	case <-ctx.Done():
		if err == nil {
			_ = conn.Close()
		}
	}
}

func (l *Links) dial(ctx context.Context, at, nodeID, proto string) (net.Conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(l.keep(raw, nodeID, at), l.certs.DialConfig(nodeID, proto))
	err = conn.HandshakeContext(ctx)
	// A node that does not speak proto may have gone on without one.
	if err == nil && conn.ConnectionState().NegotiatedProtocol != proto {
		err = fmt.Errorf("it does not speak %s", proto)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// dialed is a connection that this node has made.
type dialed struct {
	net.Conn
	links  *Links
	nodeID string // empty where any node would do
	at     string
}

func (l *Links) keep(conn net.Conn, nodeID, at string) *dialed {
	d := &dialed{Conn: conn, links: l, nodeID: nodeID, at: at}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialed[d] = struct{}{}
	return d
}

// Close implements net.Conn.
func (d *dialed) Close() error {
	d.links.mu.Lock()
	delete(d.links.dialed, d)
	d.links.mu.Unlock()
	return d.Conn.Close()
}

// Prune closes the connections that this node has made from an address that is not mine any more, or to one where the other node
// is no more. TCP alone would send into the void for a quarter of an hour.
func (l *Links) Prune(mine func(netip.Addr) bool) {
	l.mu.Lock()
	var stale []*dialed
	for d := range l.dialed {
		if !d.stands(mine) {
			stale = append(stale, d)
		}
	}
	l.mu.Unlock()
	for _, d := range stale {
		l.log.Debug("a connection is closed because an end of it has moved", "node", d.nodeID, "remote", d.at)
		_ = d.Close()
	}
}

func (d *dialed) stands(mine func(netip.Addr) bool) bool {
	if local, ok := d.LocalAddr().(*net.TCPAddr); ok {
		if from, ok := netip.AddrFromSlice(local.IP); ok && !mine(from.Unmap()) {
			return false
		}
	}
	return d.nodeID == "" || slices.Contains(d.links.book.Locate(d.nodeID), d.at)
}
