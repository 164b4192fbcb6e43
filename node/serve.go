package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"covey.dev/covey/node/forward"
	"covey.dev/covey/node/peer"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 3 * time.Minute
	// drainTimeout is how long requests under way may take to finish at the end.
	drainTimeout = 2 * time.Second
)

// serve answers HTTP on l until ctx ends. Requests see the end of ctx, so that watches return at once; what has not
// returned after drainTimeout is cut off.
func serve(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return forward.ConnContext(peer.ConnContext(ctx, conn), conn)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
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
