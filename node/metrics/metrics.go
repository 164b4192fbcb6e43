package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"covey.dev/covey/agent"
	"covey.dev/covey/node/gossip"
	"covey.dev/covey/scheduler"
	"covey.dev/covey/scheduler/autoscaler"
	"covey.dev/covey/store"
)

// Path is where a node serves its metrics.
const Path = "/metrics"

// gatherTime bounds a scrape.
const gatherTime = 10 * time.Second

// Source is the node that is asked.
type Source interface {
	NodeName() string
	Version() string
	Snapshot() *store.Snapshot
	Leads() bool
	Servers() []store.Member
	Contact(server string) time.Time // when a server last answered this one, if it leads
	Gossip() gossip.Counts
	Usage(ctx context.Context) (*agent.Measured, error)
	Autoscalers() []autoscaler.Observation
	Resources() []string // tables of the state
}

// Metrics are a node's.
type Metrics struct {
	requests *requests
	rounds   *rounds
	handler  http.Handler
}

// New makes the metrics of a node.
func New(s Source, log *slog.Logger) *Metrics {
	m := &Metrics{requests: newRequests(), rounds: newRounds()}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests.total, m.requests.timing, m.rounds.attempts, m.rounds.timing, &collector{source: s, log: log})
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError, Timeout: gatherTime})
	return m
}

// ServeHTTP answers a scrape, in Prometheus' text format or as OpenMetrics.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// ObserveRound counts a round of the scheduler.
func (m *Metrics) ObserveRound(r scheduler.Round) { m.rounds.observe(r) }

// Observe counts a request to the API.
func (m *Metrics) Observe(r Request) { m.requests.observe(r) }
