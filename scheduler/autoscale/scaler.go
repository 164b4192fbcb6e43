package autoscale

import (
	"slices"
	"time"
)

// Measurement is the load of one metric at a step.
type Measurement struct {
	Load   float64 // summed over the ready replicas that were measured; while none is ready, what waits for one
	Target float64 // the load that one replica is to have
	Ready  int     // replicas that should have been measured
	Missed int     // of these, those that were not
}

// known says whether the measurement says anything of the load. One that nobody measured at a replica is a demand for the first.
func (m Measurement) known() bool {
	return m.Target > 0 && (m.Ready > m.Missed || m.Ready == 0 && m.Load > 0)
}

// Decision is how many replicas there should be.
type Decision struct {
	Replicas int32
	Wanted   int32 // by the load alone, before windows, policies and bounds
	// Metric is the index of the measurement that wanted most; -1 when none is known.
	Metric int
	// Held says what kept the size from what the load wants.
	Held Held
}

// Held is what kept the size from what the load wants.
type Held string

// The reasons.
const (
	Free      Held = ""
	Unknown   Held = "unknown"   // nothing was measured, or too little to shrink by
	AtMin     Held = "min"       // the least number of replicas
	AtMax     Held = "max"       // the greatest
	ByWindow  Held = "window"    // a stabilisation window
	ByPolicy  Held = "policy"    // the policies' rate
	WithinTol Held = "tolerance" // the load is close to the target
)

// recommendation is what was wanted at a time.
type recommendation struct {
	at time.Time
	n  int32
}

// Scaler remembers what is needed of one workload's past. The zero value has none.
type Scaler struct {
	averages   []Average
	advised    []recommendation
	ups, downs []change
}

// Estimates are the averages, one per measurement of the last decision.
func (s *Scaler) Estimates() []Average { return s.averages }

// Resume takes up the estimates of an earlier scaler of the same workload; a metric without one begins anew.
func (s *Scaler) Resume(estimates []Average) { s.averages = slices.Clone(estimates) }

// Decide takes one step: it moves the estimates on and says how many replicas there should be, where there are current now.
// Scaled is to be called when that was done.
func (s *Scaler) Decide(now time.Time, r *Rules, current int32, measured []Measurement) Decision {
	if len(s.averages) != len(measured) {
		s.averages = make([]Average, len(measured))
	}
	d := s.want(r, current, measured)
	switch {
	case current > r.Max:
		d.Replicas, d.Held = r.Max, AtMax
	case current < r.Min:
		d.Replicas, d.Held = r.Min, AtMin
	case current == 0 && d.Metric < 0:
		*s = Scaler{averages: make([]Average, len(measured))} // what was before none says nothing of what comes after it
	default:
		s.steady(now, r, current, &d)
	}
	s.forget(now, r)
	return d
}

// Scaled notes that the size was changed as decided, which the policies count.
func (s *Scaler) Scaled(now time.Time, from, to int32) {
	switch {
	case to > from:
		s.ups = append(s.ups, change{now, to - from})
	case to < from:
		s.downs = append(s.downs, change{now, from - to})
	}
}

// nothing is the part of a target below which an average counts as 0 once its load is: by itself it would never get there.
const nothing = 1e-3

// want is what the measurement that wants most asks for.
func (s *Scaler) want(r *Rules, current int32, measured []Measurement) Decision {
	d := Decision{Replicas: current, Wanted: current, Metric: -1}
	unknown := false
	for i, m := range measured {
		if !m.known() {
			unknown = unknown || current > 0 // where nothing runs there is no load
			continue
		}
		s.averages[i] = s.averages[i].Next(r.Alpha, m.complete(current))
		lambda, _ := s.averages[i].Value()
		if m.Load == 0 && m.Missed == 0 && lambda < nothing*m.Target {
			lambda = 0
		}
		if n, held := r.tolerated(lambda, m.Target, current); d.Metric < 0 || n > d.Wanted {
			d.Wanted, d.Metric, d.Held = n, i, held
		}
	}
	if unknown && (d.Metric < 0 || d.Wanted < current) {
		d.Wanted, d.Held = current, Unknown // what is not known may be much
	}
	return d
}

// complete is the load with what replicas that were not measured may have: nothing where the others want more, their target
// where the others want less, so that they are never the reason for a change.
func (m Measurement) complete(current int32) float64 {
	if m.Missed == 0 {
		return m.Load
	}
	carries := float64(current) * m.Target
	return max(m.Load, min(m.Load+float64(m.Missed)*m.Target, carries))
}

// tolerated is the size for a load, which is the current one where the load of a replica is close enough to its target.
func (r *Rules) tolerated(lambda, target float64, current int32) (int32, Held) {
	n := Replicas(lambda, target)
	if n == current || current == 0 {
		return n, Free
	}
	if ratio := lambda / (target * float64(current)); ratio <= 1+r.Up.Tolerance+hair && ratio >= 1-r.Down.Tolerance-hair {
		return current, WithinTol
	}
	return n, Free
}

// steady bounds what is wanted by the windows, the policies, and the least and greatest size.
func (s *Scaler) steady(now time.Time, r *Rules, current int32, d *Decision) {
	if len(s.advised) == 0 {
		s.advised = append(s.advised, recommendation{now, current}) // a new scaler knows no reason to change at once
	}
	s.advised = append(s.advised, recommendation{now, d.Wanted})
	up, down := s.window(now, r, d.Wanted)
	d.Replicas = min(max(current, up), down)
	if d.Replicas != d.Wanted {
		d.Held = ByWindow
	}
	d.limit(s, now, r, current)
}

// window is the most cautious recommendation for growing and for shrinking.
func (s *Scaler) window(now time.Time, r *Rules, wanted int32) (up, down int32) {
	up, down = wanted, wanted
	for _, a := range s.advised {
		if now.Sub(a.at) < r.Up.Window {
			up = min(up, a.n)
		}
		if now.Sub(a.at) < r.Down.Window {
			down = max(down, a.n)
		}
	}
	return up, down
}

// limit bounds the decision by the policies, then by the least and the greatest size.
func (d *Decision) limit(s *Scaler, now time.Time, r *Rules, current int32) {
	if d.Replicas > current {
		if most := max(current, r.Up.mostAllowed(s, now, current)); d.Replicas > most {
			d.Replicas, d.Held = most, ByPolicy
		}
	}
	if d.Replicas < current {
		if least := min(current, r.Down.leastAllowed(s, now, current)); d.Replicas < least {
			d.Replicas, d.Held = least, ByPolicy
		}
	}
	if d.Replicas > r.Max {
		d.Replicas, d.Held = r.Max, AtMax
	}
	if d.Replicas < r.Min {
		d.Replicas, d.Held = r.Min, AtMin
	}
}

// forget drops what no rule looks back to.
func (s *Scaler) forget(now time.Time, r *Rules) {
	window := max(r.Up.Window, r.Down.Window)
	s.advised = slices.DeleteFunc(s.advised, func(a recommendation) bool { return now.Sub(a.at) > window })
	var period time.Duration
	for _, p := range slices.Concat(r.Up.Policies, r.Down.Policies) {
		period = max(period, p.Period)
	}
	old := func(c change) bool { return now.Sub(c.at) > period }
	s.ups, s.downs = slices.DeleteFunc(s.ups, old), slices.DeleteFunc(s.downs, old)
}
