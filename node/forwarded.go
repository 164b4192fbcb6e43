package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/node/forward"
	"covey.dev/covey/node/identity"
)

// forwardTimeout bounds the wait for a server to answer a worker that passes a connection on.
const forwardTimeout = 2 * time.Second

// clientProtocols are what clients speak, who are no nodes; "" is for those that name none.
var clientProtocols = []string{"h2", "http/1.1", ""}

// receive serves the connections of clients that workers pass on, as if they had been made with this node, until ctx ends. What nodes speak is
// not passed on: where such a connection comes from a worker says itself.
func (n *node) receive(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var receiving sync.WaitGroup
	defer receiving.Wait()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		receiving.Go(func() {
			client, err := forward.Receive(conn)
			if err != nil {
				n.log.Warn("a connection that a worker passes on is refused", "worker", conn.RemoteAddr().String(), "error", err)
				_ = conn.Close()
				return
			}
			n.port.Serve(ctx, client, clientProtocols...)
		})
	}
}

// ofNode answers what is about one node: when a worker passed the request on, the worker is meant.
func (n *node) ofNode(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if by, ok := forward.From(r.Context()); ok {
			n.peers.Node(by.ID).ServeHTTP(w, r)
			return
		}
		handler(w, r)
	}
}

// ofServer answers what is done to the server that is asked: a worker is none, and which server it passes a request on to nobody chose.
func (n *node) ofServer(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if by, ok := forward.From(r.Context()); ok {
			refuse(w, apierrors.NewBadRequest(fmt.Sprintf("%s is a worker, which neither votes nor has the state: run this on a server", by.Name)))
			return
		}
		handler(w, r)
	}
}

// divert passes the connections of clients on to a server. It returns false when none can be reached, and for those of nodes.
func (w *worker) divert(ctx context.Context, protos []string, conn net.Conn) bool {
	if len(protos) > 0 && strings.HasPrefix(protos[0], identity.NodeProtocols) {
		return false
	}
	w.passing.Add(1)
	defer w.passing.Add(-1)
	servers, _ := w.servers()
	for _, server := range servers {
		out, err := w.dialForward(ctx, server)
		if err != nil {
			w.log.Debug("a server does not take a connection that is to be passed on", "server", server, "error", err)
			continue
		}
		passing, end := w.whileAlive(ctx, server)
		if err := forward.Send(passing, conn, out); err != nil {
			w.log.Debug("a connection that was passed on ended", "server", server, "error", err)
		}
		end()
		return true
	}
	return false
}

// whileAlive returns a context that ends with ctx, or when the server is no longer alive: a connection with it may take minutes to say so.
func (w *worker) whileAlive(ctx context.Context, server string) (alive context.Context, end context.CancelFunc) {
	alive, end = context.WithCancel(ctx)
	go func() { // which ends with alive
		defer end()
		for {
			servers, changed := w.servers()
			if !slices.Contains(servers, server) {
				return
			}
			select {
			case <-changed:
			case <-alive.Done():
				return
			}
		}
	}()
	return alive, end
}

func (w *worker) dialForward(ctx context.Context, server string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	return w.links.DialServer(ctx, server, forward.Protocol)
}
