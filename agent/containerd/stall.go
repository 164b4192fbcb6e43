package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// errStalled is why a pull was ended that received nothing for too long.
var errStalled = errors.New("the registry sends nothing")

// stallGuard ends a pull when its requests receive nothing for a while. Time in which there is no request, because what was
// fetched is being unpacked, does not count.
type stallGuard struct {
	patience time.Duration
	cancel   context.CancelCauseFunc

	mu     sync.Mutex
	active map[*http.Request]struct{}
	timer  *time.Timer
}

// guardStalls gives a context that ends when the pull stalls.
func guardStalls(ctx context.Context, patience time.Duration) (context.Context, *stallGuard) {
	ctx, cancel := context.WithCancelCause(ctx)
	g := &stallGuard{patience: patience, cancel: cancel, active: map[*http.Request]struct{}{}}
	g.timer = time.AfterFunc(patience, g.stalled)
	g.timer.Stop()
	return ctx, g
}

func (g *stallGuard) stop() {
	g.timer.Stop()
	g.cancel(nil)
}

func (g *stallGuard) stalled() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for req := range g.active {
		g.cancel(fmt.Errorf("%s: %w: no progress for %s", req.URL.Host, errStalled, g.patience))
		return
	}
}

// watch has a client's requests count.
func (g *stallGuard) watch(c *http.Client) error {
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	c.Transport = guardedTransport{next: next, guard: g}
	return nil
}

func (g *stallGuard) begin(req *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active[req] = struct{}{}
	g.timer.Reset(g.patience)
}

func (g *stallGuard) progress() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.active) > 0 {
		g.timer.Reset(g.patience)
	}
}

func (g *stallGuard) end(req *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if delete(g.active, req); len(g.active) == 0 {
		g.timer.Stop()
	}
}

type guardedTransport struct {
	next  http.RoundTripper
	guard *stallGuard
}

func (t guardedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.guard.begin(req)
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		t.guard.end(req)
		return nil, err
	}
	t.guard.progress()
	resp.Body = &guardedBody{ReadCloser: resp.Body, guard: t.guard, req: req}
	return resp, nil
}

type guardedBody struct {
	io.ReadCloser
	guard *stallGuard
	req   *http.Request
}

func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.guard.progress()
	}
	if err != nil {
		b.guard.end(b.req)
	}
	return n, err
}

func (b *guardedBody) Close() error {
	b.guard.end(b.req)
	return b.ReadCloser.Close()
}
