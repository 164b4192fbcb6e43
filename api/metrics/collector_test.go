package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

// machine is a node whose time the test moves. Its processor is half busy, container a's is a quarter.
type machine struct {
	now        time.Time
	reads      int
	containers []string
	broken     bool
}

func (m *machine) Handler(string) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.reads++
		if m.broken {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		seconds := m.now.Sub(time.UnixMilli(0)).Seconds()
		for _, c := range m.containers {
			labels := fmt.Sprintf(`{container=%q,namespace="default",pod="p"}`, c)
			_, _ = fmt.Fprintf(w, "container_cpu_usage_seconds_total%s %v %d\n", labels, seconds/4, m.now.UnixMilli())
			_, _ = fmt.Fprintf(w, "container_memory_working_set_bytes%s 1.048576e+06 %d\ncontainer_start_time_seconds%s 5\n", labels, m.now.UnixMilli(), labels)
		}
		_, _ = fmt.Fprintf(w, "# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total %v %d\n", seconds/2, m.now.UnixMilli())
		_, _ = fmt.Fprintf(w, "node_memory_working_set_bytes 2e+09 %d\nresource_scrape_error 0\n", m.now.UnixMilli())
	}), nil
}

func TestCollector(t *testing.T) {
	m := &machine{now: time.UnixMilli(1_000_000), containers: []string{"a"}}
	c := New(m.Handler)
	c.wait = func(_ context.Context, d time.Duration) error { m.now = m.now.Add(d); return nil }
	for _, step := range []struct {
		name   string
		pass   time.Duration
		change func()
		reads  int
		window time.Duration
	}{
		{name: "at first it is read twice", reads: 2, window: time.Second},
		{name: "soon again nothing is new", pass: 300 * time.Millisecond, reads: 1, window: time.Second},
		{name: "later it is compared with the time before", pass: 14700 * time.Millisecond, reads: 1, window: 15 * time.Second},
		{name: "a container that is new needs a window", pass: 10 * time.Second, change: func() { m.containers = []string{"a", "b"} }, reads: 2, window: time.Second},
		{name: "one that is gone does not", pass: 10 * time.Second, change: func() { m.containers = []string{"b"} }, reads: 1, window: 10 * time.Second},
		{name: "after long everything is read twice", pass: time.Hour, reads: 2, window: time.Second},
	} {
		m.now, m.reads = m.now.Add(step.pass), 0
		if step.change != nil {
			step.change()
		}
		n, err := c.Node(t.Context(), "n1")
		if err != nil {
			t.Fatal(err)
		}
		if m.reads != step.reads || n.Window.Round(100*time.Millisecond) != step.window {
			t.Errorf("%s: %d reads, a window of %v", step.name, m.reads, n.Window)
		}
		if n.MilliCPU != 500 || n.Memory != 2_000_000_000 || len(n.Containers) != len(m.containers) {
			t.Errorf("%s: %+v", step.name, n)
		}
		for _, name := range m.containers {
			if use := n.Containers[Container{"default", "p", name}]; use.MilliCPU != 250 || use.Memory != 1<<20 || use.Since != n.At.Add(-n.Window) {
				t.Errorf("%s: container %s uses %+v", step.name, name, use)
			}
		}
	}
	m.broken = true
	if _, err := c.Node(t.Context(), "n1"); err == nil || !strings.Contains(err.Error(), "n1 answered 500") {
		t.Errorf("%v", err)
	}
	c.Forget(func(string) bool { return false })
	if len(c.nodes) != 0 {
		t.Errorf("%d nodes are known", len(c.nodes))
	}
}

func TestCollectorOfALostNode(t *testing.T) {
	lost := errors.New("cannot be reached")
	c := New(func(string) (http.Handler, error) { return nil, lost })
	if _, err := c.Node(t.Context(), "n1"); !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
}

// TestCollectorOfANodeThatIsCutOff: what came of an answer is not taken for the whole, and the server lives on, whether it was a client
// that asked or the server itself.
func TestCollectorOfANodeThatIsCutOff(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "node_cpu_usage_seconds_total 1 1000000\nnode_memory_working_set_bytes 2e+09 1000000\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer node.Close()
	target, err := url.Parse(node.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(func(string) (http.Handler, error) {
		return &httputil.ReverseProxy{
			Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
			ErrorLog: log.New(io.Discard, "", 0),
		}, nil
	})
	c.wait = func(context.Context, time.Duration) error { return nil }
	ofClient := context.WithValue(t.Context(), http.ServerContextKey, &http.Server{}) //nolint:gosec // it listens nowhere
	for name, ctx := range map[string]context.Context{"a client": ofClient, "the server": t.Context()} {
		if n, err := c.Node(ctx, "n1"); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("asked by %s: %+v, %v", name, n, err)
		}
		if n, err := c.Sample(ctx, "n1", nil); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("sampled by %s: %+v, %v", name, n, err)
		}
	}
}

// TestCollectorHidesNoFault: a handler's own panic goes on.
func TestCollectorHidesNoFault(t *testing.T) {
	c := New(func(string) (http.Handler, error) {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault") }), nil
	})
	defer func() {
		if cause := recover(); cause != "a fault" {
			t.Errorf("recovered %v", cause)
		}
	}()
	_, err := c.Sample(t.Context(), "n1", nil)
	t.Errorf("no panic, %v", err)
}

func TestParseRefusesWhatItCannotRead(t *testing.T) {
	for _, text := range []string{
		"", "node_cpu_usage_seconds_total\n", "node_cpu_usage_seconds_total x 1\n", "node_cpu_usage_seconds_total 1 x\n",
		`container_cpu_usage_seconds_total{pod="a" 1 1` + "\n",
	} {
		if _, err := parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// TestSamples: each reads the node once; what is new, and what went back, is known from the next one on; and who asks for the use of
// the node gets the sample.
func TestSamples(t *testing.T) {
	m := &machine{now: time.UnixMilli(1_000_000), containers: []string{"a"}}
	c := New(m.Handler)
	c.now = func() time.Time { return m.now }
	c.wait = func(context.Context, time.Duration) error { t.Error("waits"); return nil }
	known := func(n *Node) (names string) {
		for _, name := range []string{"a", "b"} {
			if _, ok := n.Containers[Container{"default", "p", name}]; ok {
				names += name
			}
		}
		return names
	}
	for _, step := range []struct {
		name, known string
		pass        time.Duration
		change      func()
	}{
		{name: "at first"},
		{name: "then", pass: 5 * time.Second, known: "a"},
		{name: "one that is new", pass: 5 * time.Second, change: func() { m.containers = []string{"a", "b"} }, known: "a"},
		{name: "and the next time", pass: 5 * time.Second, known: "ab"},
		{name: "at once again", pass: 100 * time.Millisecond, known: "ab"},
		{name: "after a step of minutes", pass: 5 * time.Minute, known: "ab"},
		{name: "when counters went back", pass: -time.Hour},
		{name: "and the next time again", pass: 5 * time.Second, known: "ab"},
	} {
		m.now, m.reads = m.now.Add(step.pass), 0
		if step.change != nil {
			step.change()
		}
		n, err := c.Sample(t.Context(), "n1", nil)
		if err != nil || known(n) != step.known || m.reads != 1 {
			t.Errorf("%s: %q are known, %d reads, %v; want %q", step.name, known(n), m.reads, err, step.known)
		}
	}
	m.now, m.reads = m.now.Add(10*time.Second), 0
	if n, err := c.Node(t.Context(), "n1"); err != nil || known(n) != "ab" || m.reads != 0 {
		t.Errorf("asked for a moment later: %+v, %v, %d reads", n, err, m.reads)
	}
	m.now = m.now.Add(time.Minute)
	c.wait = func(_ context.Context, d time.Duration) error { m.now = m.now.Add(d); return nil }
	if _, err := c.Node(t.Context(), "n1"); err != nil || m.reads == 0 {
		t.Errorf("asked for much later: %v, %d reads", err, m.reads)
	}
}

// TestRequestsOfPods follows a pod's counter: its rate, a restart, a metric that is not there.
func TestRequestsOfPods(t *testing.T) {
	now, asked := time.UnixMilli(1_000_000), ""
	total := "100"
	c := New(func(string) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.URL.Query().Get("pod")
			at := now.UnixMilli()
			_, _ = fmt.Fprintf(w, "node_cpu_usage_seconds_total 1 %d\n", at)
			if total != "" {
				_, _ = fmt.Fprintf(w, "covey_pod_requests_total{namespace=\"default\",pod=\"p\"} %s %d\n", total, at)
			}
			_, _ = fmt.Fprintf(w, "covey_pod_requests_in_flight{namespace=\"default\",pod=\"p\"} 7 %d\n", at)
		}), nil
	})
	pod := Pod{Namespace: "default", Name: "p"}
	for _, step := range []struct {
		total string
		rate  float64
	}{{"100", math.NaN()}, {"150", 10}, {"30", math.NaN()}, {"40", 2}, {"", math.NaN()}, {"70", math.NaN()}} {
		total, now = step.total, now.Add(5*time.Second)
		n, err := c.Sample(t.Context(), "n1", []Pod{pod})
		if err != nil {
			t.Fatal(err)
		}
		got := n.Pods[pod]
		if got.PerSecond != step.rate && !(math.IsNaN(got.PerSecond) && math.IsNaN(step.rate)) || got.InFlight != 7 {
			t.Errorf("at %q: %+v, want a rate of %v", step.total, got, step.rate)
		}
	}
	if asked != "default/p" {
		t.Errorf("asked for %q", asked)
	}
}

// TestCollectorOfANodeThatSaysTooMuch: it is not read to its end, which it need not have.
func TestCollectorOfANodeThatSaysTooMuch(t *testing.T) {
	line := []byte(strings.Repeat("# nothing\n", 10_000))
	written := 0
	c := New(func(string) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for written < 10*mostAnswer {
				n, err := w.Write(line)
				if written += n; err != nil {
					return
				}
			}
		}), nil
	})
	if _, err := c.Node(t.Context(), "n1"); !errors.Is(err, errTooLong) || written > mostAnswer {
		t.Errorf("%d bytes were read: %v", written, err)
	}
}
