package simulate

import (
	"math"
	"time"

	"covey.dev/covey/scheduler/autoscale"
)

// Setup is what the simulated service is like.
type Setup struct {
	Target   float64       // requests per second that each replica is to have
	Capacity float64       // that it can carry
	Start    time.Duration // from the decision to a replica that answers
	Min, Max int32
	Alpha    float64 // the weight of the past
	Step     time.Duration
	Window   time.Duration // stabilisation before shrinking
	Seed     uint64
}

// Default is a service whose replicas are to have 10 requests a second and can carry half as many again.
func Default() Setup {
	return Setup{
		Target: 10, Capacity: 15, Start: 2 * time.Second, Min: 1, Max: 50,
		Alpha: autoscale.DefaultAlpha, Step: 5 * time.Second, Window: autoscale.DefaultDown().Window, Seed: 1,
	}
}

// Kubernetes' own rule: the mean of the last quarter of a minute, taken four times a minute, as it is.
const (
	kubernetesStep = 15 * time.Second
	kubernetesLate = 15 * time.Second // how old what the metrics server says is, at most
)

// Run is what one rule did with a trace.
type Run struct {
	Rule           string
	Load           []float64 // measured at each step, in requests per second
	Estimate       []float64
	Step           time.Duration
	Replicas       []int32 // that there are, for each second
	Overload       time.Duration
	ReplicaSeconds float64
	Changes        int
	Most           int32
	Lost           float64 // requests above what the replicas could carry
	MeanReplicas   float64
}

// Result is a trace and what the rules did with it.
type Result struct {
	Trace Trace
	Setup Setup
	Runs  []Run
}

// Simulate plays a trace to both rules.
func Simulate(t Trace, s Setup) Result {
	arrivals := t.arrivals(s.Seed)
	down := autoscale.DefaultDown()
	down.Window = s.Window
	rules := autoscale.Rules{Min: s.Min, Max: s.Max, Alpha: s.Alpha, Up: autoscale.DefaultUp(), Down: down}
	kubernetes := rules
	kubernetes.Alpha, kubernetes.Down = 0, autoscale.DefaultDown()
	return Result{Trace: t, Setup: s, Runs: []Run{
		play("covey", arrivals, &s, &rules, s.Step, 0),
		play("Kubernetes", arrivals, &s, &kubernetes, kubernetesStep, kubernetesLate),
	}}
}

// play runs one rule, second by second. What it measures is the mean of its last step, and so much older.
func play(name string, arrivals []float64, s *Setup, rules *autoscale.Rules, step, late time.Duration) Run {
	r := Run{Rule: name, Step: step, Replicas: make([]int32, len(arrivals))}
	every, delay := max(1, int(step/time.Second)), int(late/time.Second)
	wanted, ready := s.Min, s.Min
	var starting []starts
	var scaler autoscale.Scaler
	for second := range arrivals {
		if second > 0 && second%every == 0 {
			load := mean(arrivals, second-delay-every, second-delay)
			d := scaler.Decide(time.Unix(int64(second), 0), rules, wanted, []autoscale.Measurement{{Load: load, Target: s.Target, Ready: 1}})
			lambda, _ := scaler.Estimates()[0].Value()
			r.Load, r.Estimate = append(r.Load, load), append(r.Estimate, lambda)
			if d.Replicas != wanted {
				r.Changes++
				scaler.Scaled(time.Unix(int64(second), 0), wanted, d.Replicas)
			}
			if d.Replicas > wanted {
				starting = append(starting, starts{second + int(s.Start/time.Second), d.Replicas})
			}
			wanted = d.Replicas
		}
		for len(starting) > 0 && starting[0].at <= second {
			ready = max(ready, starting[0].up)
			starting = starting[1:]
		}
		ready = min(ready, wanted)
		r.count(second, ready, arrivals[second], s.Capacity)
	}
	if n := float64(len(arrivals)); n > 0 {
		r.MeanReplicas = r.ReplicaSeconds / n
	}
	return r
}

// starts is when so many replicas answer.
type starts struct {
	at int
	up int32
}

func (r *Run) count(second int, replicas int32, arrived, capacity float64) {
	r.Replicas[second] = replicas
	r.ReplicaSeconds += float64(replicas)
	r.Most = max(r.Most, replicas)
	if over := arrived - float64(replicas)*capacity; over > 0 {
		r.Overload += time.Second
		r.Lost += over
	}
}

func mean(values []float64, from, to int) float64 {
	from, to = max(0, from), max(0, to)
	if to <= from {
		return values[0] // before the first measurement is complete
	}
	sum := 0.0
	for _, v := range values[from:to] {
		sum += v
	}
	return sum / math.Max(1, float64(to-from))
}
