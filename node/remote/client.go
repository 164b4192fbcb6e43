package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/node/upstream"
	"covey.dev/covey/store"
)

var (
	_ upstream.Source = (*Client)(nil)
	_ upstream.Writer = (*Client)(nil)
)

// Config is what a Client is made with.
type Config struct {
	Mirror *store.Mirror
	// Servers are the IDs of those that are alive, the one to be asked first first, and what is closed when that changes.
	Servers func() (ids []string, changed <-chan struct{})
	// Transport reaches a server by its ID in place of a host's name.
	Transport http.RoundTripper
	Log       *slog.Logger
}

// Client follows one server, and another when that one is gone, and writes through it.
type Client struct {
	*store.Mirror
	cfg Config

	mu      sync.Mutex
	server  string        // that is followed; "" while none is
	drop    func()        // gives it up
	changed chan struct{} // closed and replaced when server changes
}

const (
	answerTimeout = 10 * time.Second
	retryFirst    = 100 * time.Millisecond
	retryMost     = 5 * time.Second
	maxRefusal    = 64 << 10
)

// NewClient makes a Client; Run has it follow a server.
func NewClient(cfg Config) *Client {
	return &Client{Mirror: cfg.Mirror, cfg: cfg, changed: make(chan struct{}), drop: func() {}}
}

// Run follows one server after the other until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	wait, said := retryFirst, ""
	for {
		servers, changed := c.cfg.Servers()
		for _, server := range servers {
			followed, err := c.follow(ctx, server)
			if ctx.Err() != nil {
				return nil
			}
			if text := err.Error(); followed || text != said {
				c.cfg.Log.Warn("a server is followed no longer", "server", server, "error", err)
				said = text
			}
			if followed {
				wait = retryFirst
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			wait = retryFirst
		case <-time.After(wait):
			wait = min(2*wait, retryMost)
		}
	}
}

// follow takes over what the server tells, as long as it does.
func (c *Client) follow(ctx context.Context, server string) (followed bool, err error) {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(answerTimeout, func() { cancel(errors.New("it does not answer")) })
	defer late.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+server+statePath, nil)
	if err != nil {
		return false, err
	}
	resp, err := c.cfg.Transport.RoundTrip(req)
	if err != nil {
		return false, because(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return false, refused(resp)
	}
	in := json.NewDecoder(resp.Body)
	for {
		var message news
		if err := in.Decode(&message); err != nil {
			c.setServer("", func() {})
			return followed, because(ctx, err)
		}
		if !message.Whole {
			c.Apply(message.Revision, message.Changes)
			continue
		}
		late.Stop()
		c.Replace(message.Revision, message.Changes)
		c.setServer(server, func() { cancel(errors.New("another request to it had no answer")) })
		watching.Go(func() { c.watch(ctx, server, cancel) })
		followed = true
		c.cfg.Log.Debug("a server is followed", "server", server)
	}
}

// watch gives a server up that is no longer alive: its connection may take minutes to say so.
func (c *Client) watch(ctx context.Context, server string, giveUp func(error)) {
	for {
		servers, changed := c.cfg.Servers()
		alive := false
		for _, id := range servers {
			alive = alive || id == server
		}
		if !alive {
			giveUp(errors.New("the other nodes do not hear from it"))
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (c *Client) setServer(server string, drop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == server {
		return
	}
	c.server, c.drop = server, drop
	close(c.changed)
	c.changed = make(chan struct{})
}

// await returns the server that is followed, once there is one.
func (c *Client) await(ctx context.Context) (server string, drop func(), err error) {
	for {
		c.mu.Lock()
		server, drop, changed := c.server, c.drop, c.changed
		c.mu.Unlock()
		if server != "" {
			return server, drop, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", nil, fmt.Errorf("no server can be asked: %w", context.Cause(ctx))
		}
	}
}

// Linearizable implements upstream.Source.
func (c *Client) Linearizable(ctx context.Context) (*store.Snapshot, error) {
	if _, _, err := c.await(ctx); err != nil {
		return nil, err
	}
	return c.Snapshot(), nil
}

// Follows reports whether a server is followed now.
func (c *Client) Follows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server != ""
}

// Register implements upstream.Writer.
func (c *Client) Register(ctx context.Context, node *corev1.Node) (*corev1.Node, error) {
	stored := &corev1.Node{}
	if err := c.post(ctx, registerPath, node, stored); err != nil {
		return nil, fmt.Errorf("register node %s: %w", node.Name, err)
	}
	return stored, nil
}

// WriteStatus implements upstream.Writer.
func (c *Client) WriteStatus(ctx context.Context, updates []agent.PodStatus) (uint64, error) {
	var done written
	err := c.post(ctx, statusPath, updates, &done)
	return done.Revision, err
}

// Remove implements upstream.Writer.
func (c *Client) Remove(ctx context.Context, pod agent.PodRef) error {
	return c.post(ctx, removePath, pod, &struct{}{})
}

// WriteEvents implements upstream.Writer.
func (c *Client) WriteEvents(ctx context.Context, events []upstream.Event) error {
	return c.post(ctx, eventsPath, events, &struct{}{})
}

// refusal is an error that asking again does not help against.
type refusal struct{ error }

// post asks the server that is followed, and again, until one answers or ctx ends.
func (c *Client) post(ctx context.Context, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		server, drop, err := c.await(ctx)
		if err != nil {
			return err
		}
		err = c.ask(ctx, server, path, body, answer)
		var no refusal
		switch {
		case err == nil || ctx.Err() != nil || errors.As(err, &no):
			return err
		case errors.Is(err, errNoAnswer):
			drop()
		}
		c.cfg.Log.Debug("a server did not do what it was asked, trying again", "server", server, "path", path, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

var errNoAnswer = errors.New("the server does not answer")

func (c *Client) ask(ctx context.Context, server, path string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+server+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.cfg.Transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return refused(resp)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(answer)
}

// refused is the error of an answer that is none: a refusal when the question was at fault.
func refused(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return err
	}
	err = errors.New(strings.TrimSpace(string(text)))
	if resp.StatusCode >= 400 && resp.StatusCode < 500 {
		return refusal{err}
	}
	return err
}
