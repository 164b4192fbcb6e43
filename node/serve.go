package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/node/forward"
	"covey.dev/covey/node/peer"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 3 * time.Minute
	// drainTimeout is how long requests under way may take to finish at the end.
	drainTimeout = 2 * time.Second
)

// What a stranger may take: one that has shown no certificate. With as many as the port has room for that is some hundred megabytes. A
// handler lifts the times for who logs in.
const (
	strangerHeaders  = 16 << 10
	strangerRequests = 8         // at once, on a connection
	strangerBody     = 256 << 10 // that is not read yet, on a connection
	strangerRead     = 10 * time.Second
	strangerWrite    = time.Minute // a node that joins may wait half of that for a leader
)

// serve answers HTTP on l, whose connections are those of nodes, until ctx ends. Requests see the end of ctx, so that watches return at
// once; what has not returned after drainTimeout is cut off.
func serve(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	return serveOn(ctx, newServer(ctx, handler, log), l)
}

// serveStrangers is serve for those who have shown no certificate.
func serveStrangers(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	srv := newServer(ctx, handler, log)
	srv.MaxHeaderBytes, srv.ReadTimeout, srv.WriteTimeout = strangerHeaders, strangerRead, strangerWrite
	srv.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: strangerRequests, MaxReceiveBufferPerConnection: strangerBody, MaxReceiveBufferPerStream: strangerBody,
	}
	return serveOn(ctx, srv, l)
}

// serveClients is serve for connections of which some have shown a certificate. Those have what net/http gives: an exec may have a long
// command, and a client watches many things at once.
func serveClients(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	strangers := &passed{Listener: l, conns: make(chan net.Conn), closed: make(chan struct{})}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serve(ctx, clients{l, strangers}, handler, log) })
	g.Go(func() error { return serveStrangers(ctx, strangers, handler, log) })
	return g.Wait()
}

// clients yields the connections whose other end has shown a certificate, and passes on the others.
type clients struct {
	net.Listener
	strangers *passed
}

func (c clients) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil || hasProven(conn) {
			return conn, err
		}
		c.strangers.take(conn)
	}
}

func hasProven(conn net.Conn) bool {
	secure, ok := conn.(*tls.Conn)
	return ok && len(secure.ConnectionState().VerifiedChains) > 0
}

// passed is a listener for connections that another one has accepted.
type passed struct {
	net.Listener
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *passed) take(conn net.Conn) {
	select {
	case p.conns <- conn:
	case <-p.closed:
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (p *passed) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: the other one goes on.
func (p *passed) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func newServer(ctx context.Context, handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return forward.ConnContext(peer.ConnContext(ctx, conn), conn)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func serveOn(ctx context.Context, srv *http.Server, l net.Listener) error {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		<-ctx.Done()
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if srv.Shutdown(dctx) != nil {
			_ = srv.Close()
		}
	}()
	err := srv.Serve(l)
	if ctx.Err() == nil {
		return fmt.Errorf("serve the API: %w", err)
	}
	<-drained
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
