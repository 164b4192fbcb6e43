package autoscale

import (
	"math"
	"time"
)

// Rules are what is asked of one workload's size.
type Rules struct {
	Min, Max int32
	Alpha    float64 // the weight of the past
	Up, Down Direction
}

// Direction is how fast the size may change one way.
type Direction struct {
	Window    time.Duration // of the recommendations in it the most cautious counts
	Tolerance float64       // part of the target by which the load may differ and nothing changes: 0.1
	Select    Select
	Policies  []Policy
}

// Select says which of several policies counts.
type Select string

// The choices, named as in Kubernetes.
const (
	SelectMost  Select = "Max"      // the one that allows the greatest change
	SelectLeast Select = "Min"      // the one that allows the least
	SelectNone  Select = "Disabled" // no change this way
)

// Policy allows a change within a period: of so many replicas, or of so many percent.
type Policy struct {
	Percent bool
	Value   int32
	Period  time.Duration
}

// change is what was done to the size at a time; more is above 0 in both directions.
type change struct {
	at   time.Time
	more int32
}

// within adds up the changes of a period.
func within(changes []change, now time.Time, period time.Duration) int32 {
	var sum int32
	for _, c := range changes {
		if now.Sub(c.at) < period {
			sum += c.more
		}
	}
	return sum
}

// mostAllowed is up to where the policies let the size grow.
func (d *Direction) mostAllowed(s *Scaler, now time.Time, current int32) int32 {
	return d.choose(current, func(p Policy) int32 {
		start := current - within(s.ups, now, p.Period) + within(s.downs, now, p.Period)
		if p.Percent {
			return atMost(math.Ceil(float64(start) * (1 + float64(p.Value)/100)))
		}
		return atMost(float64(start) + float64(p.Value))
	}, func(a, b int32) int32 { return max(a, b) }, func(a, b int32) int32 { return min(a, b) })
}

// leastAllowed is down to where the policies let the size shrink.
func (d *Direction) leastAllowed(s *Scaler, now time.Time, current int32) int32 {
	return d.choose(current, func(p Policy) int32 {
		start := current - within(s.ups, now, p.Period) + within(s.downs, now, p.Period)
		if p.Percent {
			return max(0, atMost(float64(start)*(1-float64(p.Value)/100)))
		}
		return max(0, start-p.Value)
	}, func(a, b int32) int32 { return min(a, b) }, func(a, b int32) int32 { return max(a, b) })
}

// choose asks each policy and takes the one that goes furthest or least far. Without policies everything is allowed to stay.
func (d *Direction) choose(current int32, ask func(Policy) int32, furthest, least func(a, b int32) int32) int32 {
	if d.Select == SelectNone || len(d.Policies) == 0 {
		return current
	}
	limit := ask(d.Policies[0])
	for _, p := range d.Policies[1:] {
		if d.Select == SelectLeast {
			limit = least(limit, ask(p))
		} else {
			limit = furthest(limit, ask(p))
		}
	}
	return limit
}

func atMost(n float64) int32 { return int32(min(n, math.MaxInt32)) }
