package runtimetest

import (
	"context"
	"fmt"
	"io"
	"sync"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/logs"
)

// streams are what clients attach to.
type streams struct {
	stdin io.Reader
	input *io.PipeWriter // nil when the container has no open input
	sizes chan agent.TerminalSize

	mu      *sync.Mutex
	clients map[*agent.AttachSpec]struct{}
}

func newStreams(ctx context.Context, spec *agent.ContainerSpec) streams {
	s := streams{stdin: blockingReader{ctx}, mu: &sync.Mutex{}, clients: map[*agent.AttachSpec]struct{}{}, sizes: make(chan agent.TerminalSize)}
	if spec.Stdin {
		s.stdin, s.input = io.Pipe()
	}
	return s
}

// writer shows what is written to it to all clients.
func (s streams) writer(stream logs.Stream) io.Writer { return client{s, stream} }

type client struct {
	streams
	stream logs.Stream
}

func (c client) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for spec := range c.clients {
		to := spec.Stdout
		if c.stream == logs.Stderr {
			to = spec.Stderr
		}
		_, _ = orDiscard(to).Write(p)
	}
	return len(p), nil
}

// Attach implements agent.Runtime.
func (f *Fake) Attach(ctx context.Context, id string, spec *agent.AttachSpec) error {
	c, err := f.runningContainer("attach to", id)
	if err != nil {
		return err
	}
	s := c.streams
	s.mu.Lock()
	s.clients[spec] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.clients, spec)
	}()
	left := make(chan struct{})
	if spec.Stdin != nil && s.input != nil {
		go func() {
			_, _ = io.Copy(s.input, spec.Stdin)
			if c.spec.StdinOnce && !c.spec.TTY {
				_ = s.input.Close()
				return
			}
			close(left)
		}()
	}
	resize, to, size := spec.Resize, chan agent.TerminalSize(nil), agent.TerminalSize{}
	for {
		select {
		case <-c.done:
			return nil
		case <-left:
			return nil
		case next, open := <-resize:
			if !open {
				resize = nil
				continue
			}
			size, to = next, s.sizes
		case to <- size:
			to = nil
		case <-ctx.Done():
			return fmt.Errorf("attach to container %s: %w", id, ctx.Err())
		}
	}
}
