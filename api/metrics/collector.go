package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// shortest is the window below which a rate says little.
	shortest = time.Second
	// longest is the age from which a reading is too old to compare with.
	longest = time.Minute
	// fresh is how old a sample may be and be the answer to who asks for the use of a node.
	fresh = 15 * time.Second
	// mostAnswer is how long an answer may be: 2,000 pods with long names have 10 MiB.
	mostAnswer = 16 << 20
)

var errTooLong = errors.New("it is too long")

// Use is how much is used: of the processor, in thousandths of a core, over the window; of memory, in bytes, at its end.
type Use struct {
	MilliCPU, Memory int64
	Since            time.Time // when the window began
}

// Node is the use of a node and of its containers.
type Node struct {
	Use
	At         time.Time
	Window     time.Duration
	Containers map[Container]Use
	Pods       map[Pod]Requests // those that were asked and have answered
}

// Requests are what a pod says of its requests; NaN for what is not known.
type Requests struct{ PerSecond, InFlight float64 }

// Collector reads the metrics of nodes. It is safe for concurrent use.
type Collector struct {
	node func(name string) (http.Handler, error)
	wait func(context.Context, time.Duration) error
	now  func() time.Time

	mu    sync.Mutex
	nodes map[string]*source
}

// source is one node; its lock is held while it is read, so that it is read once for all who ask.
type source struct {
	sync.Mutex
	last    *reading
	use     *Node     // what last came to
	sampled time.Time // when Sample came to it
}

// New returns a collector of what the nodes' handlers serve.
func New(node func(name string) (http.Handler, error)) *Collector {
	return &Collector{node: node, wait: wait, now: time.Now, nodes: map[string]*source{}}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Sample is the use of a node since the last time that it was read, and the requests of those of its pods that are named: for who
// asks again and again. It reads once and waits for nothing, so what was not there at the last time is left out.
func (c *Collector) Sample(ctx context.Context, name string, pods []Pod) (*Node, error) {
	s := c.source(name)
	s.Lock()
	defer s.Unlock()
	now, err := c.read(ctx, name, pods)
	if err != nil {
		return nil, err
	}
	before := s.last
	switch {
	case before == nil || now.node.cpu < before.node.cpu: // the machine was started anew
		before = &reading{node: counters{at: now.node.at}}
	case now.node.at.Sub(before.node.at) < shortest/2 && s.use != nil:
		return s.use, nil
	}
	s.last, s.use, s.sampled = now, now.since(before), c.now()
	return s.use, nil
}

// Node is the use of a node: as it was sampled last, if that was a moment ago.
func (c *Collector) Node(ctx context.Context, name string) (*Node, error) {
	s := c.source(name)
	s.Lock()
	defer s.Unlock()
	if s.use != nil && s.use.Window > 0 && c.now().Sub(s.sampled) < fresh {
		return s.use, nil
	}
	now, err := c.read(ctx, name, nil)
	if err != nil {
		return nil, err
	}
	if s.last != nil && s.use != nil && now.node.at.Sub(s.last.node.at) < shortest && now.knownTo(s.last) {
		return s.use, nil
	}
	if s.last == nil || !now.follows(s.last) {
		s.last = now
		if err := c.wait(ctx, shortest); err != nil {
			return nil, err
		}
		if now, err = c.read(ctx, name, nil); err != nil {
			return nil, err
		}
	}
	s.use = now.since(s.last)
	s.last = now
	return s.use, nil
}

// source finds a node's; those that were not asked for long are forgotten.
func (c *Collector) source(name string) *source {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.nodes[name]
	if s == nil {
		s = &source{}
		c.nodes[name] = s
	}
	return s
}

// Forget drops what is known of the nodes that are not kept.
func (c *Collector) Forget(kept func(name string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.nodes {
		if !kept(name) {
			delete(c.nodes, name)
		}
	}
}

func (c *Collector) read(ctx context.Context, name string, pods []Pod) (*reading, error) {
	handler, err := c.node(name)
	if err != nil {
		return nil, err
	}
	const path = "/metrics/resource"
	query := url.Values{}
	for _, p := range pods {
		query.Add("pod", p.Namespace+"/"+p.Name)
	}
	where := &url.URL{Path: path, RawQuery: query.Encode()}
	r := (&http.Request{
		Method: http.MethodGet, URL: where, RequestURI: where.RequestURI(), Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(context.WithValue(ctx, http.ServerContextKey, &http.Server{})) //nolint:gosec // it listens nowhere
	w := &response{header: http.Header{}}
	err = serve(handler, w, r)
	if w.tooLong {
		err = errTooLong
	}
	if err != nil {
		return nil, fmt.Errorf("the answer of node %s to %s: %w", name, path, err)
	}
	if w.code != 0 && w.code != http.StatusOK {
		return nil, fmt.Errorf("node %s answered %d to %s", name, w.code, path)
	}
	return parse(&w.body)
}

// serve has a handler answer as below an HTTP server: one that passes an answer on and loses it half-way panics with ErrAbortHandler
// there, and elsewhere says nothing. Nobody but us would recover that, where a goroutine of our own asks.
func serve(handler http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			panic(cause)
		}
	}()
	handler.ServeHTTP(w, r)
	return nil
}

// knownTo reports that a reading has no container that the other has not.
func (r *reading) knownTo(other *reading) bool {
	for name, c := range r.containers {
		if was, ok := other.containers[name]; !ok || was.started != c.started {
			return false
		}
	}
	return true
}

// follows reports that the use since before can be told of all that runs now.
func (r *reading) follows(before *reading) bool {
	window := r.node.at.Sub(before.node.at)
	return window >= shortest && window <= longest && r.node.cpu >= before.node.cpu && r.knownTo(before)
}

// since is the use between two readings. Containers that only one of them has are left out, and those whose counter went back.
func (r *reading) since(before *reading) *Node {
	out := &Node{
		Use: r.node.since(before.node), At: r.node.at, Window: r.node.at.Sub(before.node.at), Containers: map[Container]Use{},
		Pods: map[Pod]Requests{},
	}
	for name, c := range r.containers {
		if was, ok := before.containers[name]; ok && was.started == c.started && c.cpu >= was.cpu {
			out.Containers[name] = c.since(was)
		}
	}
	for name, p := range r.pods {
		was, ok := before.pods[name]
		if !ok {
			was.requests = math.NaN()
		}
		out.Pods[name] = p.since(was)
	}
	return out
}

// since is the rate of requests between two readings, which is not known where a counter went back: the pod began anew.
func (p podCounters) since(before podCounters) Requests {
	r := Requests{PerSecond: math.NaN(), InFlight: p.inFlight}
	if seconds := p.at.Sub(before.at).Seconds(); seconds > 0 && p.requests >= before.requests {
		r.PerSecond = (p.requests - before.requests) / seconds
	}
	return r
}

func (c counters) since(before counters) Use {
	u := Use{Memory: c.memory, Since: before.at}
	if seconds := c.at.Sub(before.at).Seconds(); seconds > 0 && c.cpu > before.cpu {
		u.MilliCPU = int64((c.cpu-before.cpu)/seconds*1000 + 0.5)
	}
	return u
}

// response keeps an answer.
type response struct {
	header http.Header
	code   int
	body   bytes.Buffer
	// tooLong says that it is not all of the answer.
	tooLong bool
}

func (w *response) Header() http.Header { return w.header }
func (w *response) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.tooLong = w.tooLong || w.body.Len()+len(p) > mostAnswer; w.tooLong {
		return 0, errTooLong
	}
	return w.body.Write(p)
}
