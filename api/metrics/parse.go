package metrics

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Container names a container.
type Container struct{ Namespace, Pod, Name string }

// Pod names a pod.
type Pod struct{ Namespace, Name string }

// podCounters are what a pod has counted of its requests by a time; NaN for what it does not count.
type podCounters struct {
	requests, inFlight float64
	at                 time.Time
}

// counters are what a node has counted of one thing by a time.
type counters struct {
	cpu     float64 // seconds
	memory  int64   // bytes
	started float64 // seconds since the epoch; 0 for nodes
	at      time.Time
}

// reading is what a node served at one time.
type reading struct {
	node       counters
	containers map[Container]counters
	pods       map[Pod]podCounters
}

// parse reads the metrics that are of use here out of Prometheus' text format.
func parse(r io.Reader) (*reading, error) {
	out := &reading{containers: map[Container]counters{}, pods: map[Pod]podCounters{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if err := out.add(line); err != nil {
			return nil, fmt.Errorf("metrics line %q: %w", line, err)
		}
	}
	if out.node.at.IsZero() && lines.Err() == nil {
		return nil, errors.New("metrics of the node itself are missing")
	}
	return out, lines.Err()
}

func (r *reading) add(line string) error {
	name, rest, labelled := strings.Cut(line, "{")
	var c Container
	if labelled {
		inner, after, ok := strings.Cut(rest, "}")
		if !ok {
			return fmt.Errorf("its labels don't end")
		}
		c, rest = containerOf(inner), after
	} else {
		name, rest, _ = strings.Cut(line, " ")
	}
	if field, ok := strings.CutPrefix(name, "covey_pod_requests_"); ok {
		return r.addRequests(field, Pod{Namespace: c.Namespace, Name: c.Pod}, rest)
	}
	set := r.setter(name)
	if set == nil {
		return nil
	}
	value, at, err := sample(rest)
	if err != nil {
		return err
	}
	if !labelled {
		set(&r.node, value, at)
		return nil
	}
	had := r.containers[c]
	set(&had, value, at)
	r.containers[c] = had
	return nil
}

func (r *reading) addRequests(field string, pod Pod, rest string) error {
	value, at, err := sample(rest)
	if err != nil {
		return err
	}
	p, ok := r.pods[pod]
	if !ok {
		p = podCounters{requests: math.NaN(), inFlight: math.NaN()}
	}
	p.at = at
	switch field {
	case "total":
		p.requests = value
	case "in_flight":
		p.inFlight = value
	}
	r.pods[pod] = p
	return nil
}

// setter is what a metric's value is kept by; nil for metrics that are of no use here.
func (*reading) setter(name string) func(to *counters, value float64, at time.Time) {
	switch name {
	case "container_cpu_usage_seconds_total", "node_cpu_usage_seconds_total":
		return func(to *counters, value float64, at time.Time) { to.cpu, to.at = value, at }
	case "container_memory_working_set_bytes", "node_memory_working_set_bytes":
		return func(to *counters, value float64, _ time.Time) { to.memory = int64(value) }
	case "container_start_time_seconds":
		return func(to *counters, value float64, _ time.Time) { to.started = value }
	}
	return nil
}

// containerOf reads labels whose values are names, which have no quotes and commas in them.
func containerOf(labels string) (c Container) {
	for label := range strings.SplitSeq(labels, ",") {
		name, value, _ := strings.Cut(label, "=")
		value = strings.Trim(value, `"`)
		switch strings.TrimSpace(name) {
		case "namespace":
			c.Namespace = value
		case "pod":
			c.Pod = value
		case "container":
			c.Name = value
		}
	}
	return c
}

// sample reads a value and, in milliseconds, its time; zero when it has none.
func sample(text string) (value float64, at time.Time, err error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return 0, at, fmt.Errorf("it has no value")
	}
	if value, err = strconv.ParseFloat(words[0], 64); err != nil || len(words) == 1 {
		return value, at, err
	}
	ms, err := strconv.ParseInt(words[1], 10, 64)
	return value, time.UnixMilli(ms), err
}
