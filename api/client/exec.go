package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
)

// Exec runs the remote process that path and query name (a pod's exec subresource) with these streams, over a WebSocket
// or, where something on the way does not let that pass, SPDY. A process that ends with another code than 0 is an error
// with an ExitStatus method.
func (c *Client) Exec(ctx context.Context, path string, query url.Values, streams remotecommand.StreamOptions) error {
	target := c.url(path, query)
	socket, err := remotecommand.NewWebSocketExecutor(c.cfg, "GET", target.String())
	if err != nil {
		return fmt.Errorf("prepare the connection: %w", err)
	}
	spdy, err := remotecommand.NewSPDYExecutor(c.cfg, "POST", target)
	if err != nil {
		return fmt.Errorf("prepare the connection: %w", err)
	}
	executor, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return fmt.Errorf("prepare the connection: %w", err)
	}
	return executor.StreamWithContext(ctx, streams)
}

// ExitStatus is the exit code of the process that Exec ran, if err says that it ended with one.
func ExitStatus(err error) (int, bool) {
	var exit interface{ ExitStatus() int }
	if !errors.As(err, &exit) {
		return 0, false
	}
	return exit.ExitStatus(), true
}
