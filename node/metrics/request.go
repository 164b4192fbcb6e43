package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Request is a request that the API has answered.
type Request struct {
	Verb, Group, Version, Resource, Subresource string
	Code                                        int
	Took                                        time.Duration
	Long                                        bool // it went on for as long as the client liked, as a watch does
}

var requestLabels = []string{"verb", "group", "version", "resource", "subresource"}

// requests counts and times requests under the names of Kubernetes' API server.
type requests struct {
	total  *prometheus.CounterVec
	timing *prometheus.HistogramVec
}

// The metrics of requests, for the documentation.
const (
	RequestsTotal      = "apiserver_request_total"
	RequestsTotalHelp  = "Requests that the API of this node has answered"
	RequestsTiming     = "apiserver_request_duration_seconds"
	RequestsTimingHelp = "Time to the answer, without watches and other requests that go on"
)

func newRequests() *requests {
	return &requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: RequestsTotal, Help: RequestsTotalHelp}, append(requestLabels[:len(requestLabels):len(requestLabels)], "code")),
		timing: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: RequestsTiming, Help: RequestsTimingHelp, Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, requestLabels),
	}
}

func (r *requests) observe(q Request) {
	labels := []string{q.Verb, q.Group, q.Version, q.Resource, q.Subresource}
	if !q.Long {
		r.timing.WithLabelValues(labels...).Observe(q.Took.Seconds())
	}
	r.total.WithLabelValues(append(labels, strconv.Itoa(q.Code))...).Inc()
}
