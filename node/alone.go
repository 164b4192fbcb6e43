package node

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"covey.dev/covey/node/port"
)

// reachInterval is how often a worker that answers clients itself looks whether a server can be reached again.
const reachInterval = 3 * time.Second

// serveAlone answers the clients that came while no server could be reached, until ctx ends. When one can be reached again their
// connections end: who stays would be told for ever what this worker knew before. They come again, and are passed on.
func (w *worker) serveAlone(ctx context.Context, l *port.Listener) error {
	defer func() { _ = l.Close() }()
	handler := w.good(w.localAPI())
	for ctx.Err() == nil {
		if err := w.serveOutage(ctx, l.Turn(), handler); err != nil {
			return err
		}
	}
	return nil
}

// serveOutage answers until a server can be reached again, for which it looks from the first connection on.
func (w *worker) serveOutage(ctx context.Context, l net.Listener, handler http.Handler) error {
	ctx, end := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer end()
	begin := sync.OnceFunc(func() {
		watching.Go(func() { defer end(); w.awaitServer(ctx) })
	})
	return serveClients(ctx, outage{l, begin}, handler, w.log)
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

// outage is the listener of the time in which no server can be reached.
type outage struct {
	net.Listener
	begin func() // called with each connection
}

// Accept implements net.Listener.
func (o outage) Accept() (net.Conn, error) {
	conn, err := o.Listener.Accept()
	if err == nil {
		o.begin()
	}
	return conn, err
}
