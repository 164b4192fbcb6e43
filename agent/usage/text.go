package usage

import (
	"fmt"
	"io"
	"math"
	"time"
)

// Container is one container's use.
type Container struct {
	Namespace, Pod, Name string
	Started              time.Time
	Use
	At time.Time // when it was read
}

// Pod is what a pod says of its requests; NaN for what it does not say.
type Pod struct {
	Namespace, Name    string
	Requests, InFlight float64
	At                 time.Time // when it was asked
}

// Node is what a node and its containers use, those of a pod one after the other.
type Node struct {
	Use
	At         time.Time
	Containers []Container
	Pods       []Pod // those that were asked
	Failed     bool  // not all could be read
}

// WriteText writes n as metrics in Prometheus' text format, with the names that Kubernetes' kubelet gives them under
// /metrics/resource.
func (n *Node) WriteText(w io.Writer) error {
	t := text{w: w}
	t.family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds")
	for i := range n.Containers {
		c := &n.Containers[i]
		t.sample(c.labels(), c.CPU.Seconds(), c.At)
	}
	t.family("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes")
	for i := range n.Containers {
		c := &n.Containers[i]
		t.sample(c.labels(), float64(c.Memory), c.At)
	}
	t.family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds")
	for i := range n.Containers {
		c := &n.Containers[i]
		t.sample(c.labels(), float64(c.Started.UnixMilli())/1000, time.Time{})
	}
	n.writeRequests(&t)
	t.family("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds")
	t.sample("", n.CPU.Seconds(), n.At)
	t.family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes")
	t.sample("", float64(n.Memory), n.At)
	t.family("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise")
	failed := 0.0
	if n.Failed {
		failed = 1
	}
	t.sample("", failed, time.Time{})
	return t.err
}

// writeRequests writes what pods said of their requests, under names of covey's own.
func (n *Node) writeRequests(t *text) {
	if len(n.Pods) == 0 {
		return
	}
	t.family("covey_pod_requests_total", "counter", "Requests that the pod says it has served")
	for _, p := range n.Pods {
		t.known(p.labels(), p.Requests, p.At)
	}
	t.family("covey_pod_requests_in_flight", "gauge", "Requests that the pod says it is serving")
	for _, p := range n.Pods {
		t.known(p.labels(), p.InFlight, p.At)
	}
}

func (p *Pod) labels() string { return fmt.Sprintf("{namespace=%q,pod=%q}", p.Namespace, p.Name) }

func (c *Container) labels() string {
	return fmt.Sprintf("{container=%q,namespace=%q,pod=%q}", c.Name, c.Namespace, c.Pod)
}

// text writes families of metrics and keeps the first error.
type text struct {
	w    io.Writer
	name string
	err  error
}

func (t *text) family(name, kind, help string) {
	t.name = name
	t.print("# HELP %s [STABLE] %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (t *text) sample(labels string, value float64, at time.Time) {
	if at.IsZero() {
		t.print("%s%s %v\n", t.name, labels, value)
		return
	}
	t.print("%s%s %v %d\n", t.name, labels, value, at.UnixMilli())
}

// known is a sample unless it is not known.
func (t *text) known(labels string, value float64, at time.Time) {
	if !math.IsNaN(value) {
		t.sample(labels, value, at)
	}
}

func (t *text) print(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}
