package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// reachInterval is how often a worker that answers clients itself looks whether a server can be reached again.
const reachInterval = 3 * time.Second

// serveAlone answers the clients that came while no server could be reached, until ctx ends. When one can be reached again their
// connections end: who stays would be told for ever what this worker knew before. They come again, and are passed on.
func (w *worker) serveAlone(ctx context.Context, l net.Listener) error {
	handler, conns := w.good(w.localAPI()), make(chan net.Conn)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return handOut(ctx, l, conns) })
	g.Go(func() error {
		for ctx.Err() == nil {
			if err := w.serveOutage(ctx, newOutage(l.Addr(), conns), handler); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

func (w *worker) serveOutage(ctx context.Context, l *outage, handler http.Handler) error {
	ctx, end := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer end()
	watching.Go(func() {
		defer end()
		select {
		case <-l.begun:
			w.awaitServer(ctx)
		case <-ctx.Done():
		}
	})
	return serve(ctx, l, handler, w.log)
}

// awaitServer returns when a server answers, or ctx ends.
func (w *worker) awaitServer(ctx context.Context) {
	for sleep(ctx, reachInterval) {
		servers, _ := w.servers()
		for _, server := range servers {
			asking, cancel := context.WithTimeout(ctx, forwardTimeout)
			err := w.ask.Ping(asking, server)
			cancel()
			if err == nil {
				w.log.Debug("a server can be reached again: clients that were answered here are to come again", "server", server)
				return
			}
		}
	}
}

// handOut passes on what l accepts until ctx ends.
func handOut(ctx context.Context, l net.Listener, conns chan<- net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case conns <- conn:
		case <-ctx.Done():
			_ = conn.Close()
		}
	}
}

// outage is the listener of the time in which no server can be reached.
type outage struct {
	addr        net.Addr
	conns       <-chan net.Conn
	begun, over chan struct{} // closed with the first connection, and at the end
	begin, end  sync.Once
}

func newOutage(addr net.Addr, conns <-chan net.Conn) *outage {
	return &outage{addr: addr, conns: conns, begun: make(chan struct{}), over: make(chan struct{})}
}

// Accept implements net.Listener.
func (o *outage) Accept() (net.Conn, error) {
	select {
	case conn := <-o.conns:
		o.begin.Do(func() { close(o.begun) })
		return conn, nil
	case <-o.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (o *outage) Close() error {
	o.end.Do(func() { close(o.over) })
	return nil
}

// Addr implements net.Listener.
func (o *outage) Addr() net.Addr { return o.addr }
