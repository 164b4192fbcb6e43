package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"covey.dev/covey/scheduler"
)

// rounds counts and times the scheduler's rounds.
type rounds struct {
	attempts *prometheus.CounterVec
	timing   prometheus.Histogram
}

// The metrics of rounds, for the documentation. The first has the name that it has in Kubernetes' scheduler.
const (
	AttemptsTotal     = "scheduler_schedule_attempts_total"
	AttemptsTotalHelp = "Attempts to find a node for a pod, by their result: scheduled or unschedulable"
	RoundTiming       = "covey_scheduler_round_duration_seconds"
	RoundTimingHelp   = "Time that the scheduler takes to decide a round and to commit it"
)

func newRounds() *rounds {
	return &rounds{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: AttemptsTotal, Help: AttemptsTotalHelp}, []string{"result"}),
		timing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: RoundTiming, Help: RoundTimingHelp, Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
}

func (r *rounds) observe(o scheduler.Round) {
	r.timing.Observe(o.Took.Seconds())
	r.attempts.WithLabelValues("scheduled").Add(float64(o.Scheduled))
	r.attempts.WithLabelValues("unschedulable").Add(float64(o.Unschedulable))
}
