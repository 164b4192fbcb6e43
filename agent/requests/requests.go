package requests

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Annotations that say where a pod's metrics are, as everybody writes them, and what they are called.
const (
	scrapeNote   = "prometheus.io/scrape"
	portNote     = "prometheus.io/port"
	pathNote     = "prometheus.io/path"
	schemeNote   = "prometheus.io/scheme"
	totalNote    = "covey.dev/requests-total"
	inFlightNote = "covey.dev/requests-in-flight"
)

// The usual names, the first that a pod has counts.
var (
	totals = []string{
		"http_requests_total", "http_server_requests_total", "http_server_requests_seconds_count",
		"http_server_request_duration_seconds_count", "http_request_duration_seconds_count",
		"promhttp_metric_handler_requests_total", "nginx_http_requests_total",
	}
	inFlights = []string{"http_requests_in_flight", "http_server_active_requests", "http_server_requests_active"}
)

const (
	timeout  = time.Second
	mostRead = 4 << 20 // bytes of an answer
)

// Counts are what a pod says. A metric that it does not have is NaN.
type Counts struct {
	Total    float64 // requests since its start
	InFlight float64 // now
}

// ErrNotAnnotated says that a pod does not offer metrics.
var ErrNotAnnotated = errors.New("the pod has no annotation " + scrapeNote + `: "true"`)

// client makes a connection for each question: pods come and go, and questions are seconds apart.
var client = http.Client{
	Timeout:   timeout,
	Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, Proxy: nil},
	CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // it could lead anywhere
	},
}

// Ask reads the metrics of a pod that has this address.
func Ask(ctx context.Context, pod *corev1.Pod, address string) (Counts, error) {
	where, err := endpoint(pod, address)
	if err != nil {
		return Counts{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return Counts{}, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	resp, err := client.Do(req)
	if err != nil {
		return Counts{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return Counts{}, fmt.Errorf("%s answered %s", where, resp.Status)
	}
	return read(io.LimitReader(resp.Body, mostRead), names(pod, totalNote, totals), names(pod, inFlightNote, inFlights))
}

func names(pod *corev1.Pod, note string, usual []string) []string {
	if name := pod.Annotations[note]; name != "" {
		return []string{name}
	}
	return usual
}

// endpoint is the URL of a pod's metrics.
func endpoint(pod *corev1.Pod, address string) (string, error) {
	if pod.Annotations[scrapeNote] != "true" {
		return "", ErrNotAnnotated
	}
	port := pod.Annotations[portNote]
	if port == "" {
		port = firstPort(pod)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("annotation %s: %q is no port", portNote, port)
	}
	scheme, path := pod.Annotations[schemeNote], pod.Annotations[pathNote]
	if scheme == "" {
		scheme = "http"
	}
	if scheme != "http" {
		return "", fmt.Errorf("annotation %s: %q: only http is asked", schemeNote, scheme)
	}
	if path == "" {
		path = "/metrics"
	}
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(address, port), Path: path}).String(), nil
}

func firstPort(pod *corev1.Pod) string {
	for i := range pod.Spec.Containers {
		for _, p := range pod.Spec.Containers[i].Ports {
			if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
				return strconv.Itoa(int(p.ContainerPort))
			}
		}
	}
	return "80"
}

// read adds up, over their labels, the first metric of each list that is there.
func read(r io.Reader, totals, inFlight []string) (Counts, error) {
	sums := map[string]float64{}
	for _, name := range append(append([]string{}, totals...), inFlight...) {
		sums[name] = math.NaN()
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := sample(lines.Bytes())
		if !ok {
			continue
		}
		if sum, wanted := sums[string(name)]; wanted {
			if math.IsNaN(sum) {
				sum = 0
			}
			sums[string(name)] = sum + value
		}
	}
	if err := lines.Err(); err != nil {
		return Counts{}, fmt.Errorf("read the metrics: %w", err)
	}
	return Counts{Total: first(sums, totals), InFlight: first(sums, inFlight)}, nil
}

func first(sums map[string]float64, names []string) float64 {
	for _, name := range names {
		if sum := sums[name]; !math.IsNaN(sum) {
			return sum
		}
	}
	return math.NaN()
}

// sample takes a line of Prometheus' text format apart: name, labels that may hold anything in quotes, value, time.
func sample(line []byte) (name []byte, value float64, ok bool) {
	if len(line) == 0 || line[0] == '#' {
		return nil, 0, false
	}
	i := 0
	for i < len(line) && line[i] != '{' && line[i] != ' ' && line[i] != '\t' {
		i++
	}
	name = line[:i]
	rest := line[i:]
	if len(rest) > 0 && rest[0] == '{' {
		end := labelsEnd(rest)
		if end < 0 {
			return nil, 0, false
		}
		rest = rest[end+1:]
	}
	words := strings.Fields(string(rest))
	if len(words) == 0 {
		return nil, 0, false
	}
	value, err := strconv.ParseFloat(words[0], 64)
	return name, value, err == nil && !math.IsNaN(value)
}

// labelsEnd is where the brace that closes labels is; -1 when there is none.
func labelsEnd(labels []byte) int {
	quoted := false
	for i := 0; i < len(labels); i++ {
		switch c := labels[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '}' && !quoted:
			return i
		}
	}
	return -1
}
