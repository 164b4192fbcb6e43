package eviction

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Level is how much of something there is, and was at first: bytes or a count.
type Level struct{ Available, Capacity int64 }

// Observation is what a node has left. A signal that is not in it is not known.
type Observation map[Signal]Level

// DefaultTransition is how long a node condition holds at least after it was observed last, so that it does not flap.
const DefaultTransition = 5 * time.Minute

// Monitor remembers when thresholds were met, from one observation to the next.
type Monitor struct {
	thresholds []Threshold
	transition time.Duration
	firstMet   map[Threshold]time.Time
	lastSeen   map[corev1.NodeConditionType]time.Time

	last    Observation
	lastAt  time.Time
	falling map[Signal]float64 // bytes or a count a second, between the last two observations
}

// NewMonitor watches the given thresholds. Conditions hold for the time of transition after they were observed last.
func NewMonitor(thresholds []Threshold, transition time.Duration) *Monitor {
	return &Monitor{
		thresholds: thresholds, transition: transition,
		firstMet: map[Threshold]time.Time{}, lastSeen: map[corev1.NodeConditionType]time.Time{}, falling: map[Signal]float64{},
	}
}

// Verdict is what an observation means.
type Verdict struct {
	Conditions []corev1.NodeConditionType // that hold
	// Starved are the thresholds that are met and whose grace is over, the one to act on first.
	Starved []Threshold
	// Met says that some threshold is met, be its grace over or not.
	Met bool
}

// Observe takes the newest observation in.
func (m *Monitor) Observe(o Observation, now time.Time) Verdict {
	m.note(o, now)
	var v Verdict
	for _, t := range m.thresholds {
		if !t.MetBy(o) {
			delete(m.firstMet, t)
			continue
		}
		v.Met = true
		m.lastSeen[resources[t.Signal.rank()].condition] = now
		if _, before := m.firstMet[t]; !before {
			m.firstMet[t] = now
		}
		if now.Sub(m.firstMet[t]) >= t.Grace {
			v.Starved = append(v.Starved, t)
		}
	}
	for condition, seen := range m.lastSeen {
		if now.Sub(seen) < m.transition {
			v.Conditions = append(v.Conditions, condition)
		}
	}
	slices.Sort(v.Conditions)
	return v
}

// note keeps the observation, and how fast things went down since the one before.
func (m *Monitor) note(o Observation, now time.Time) {
	clear(m.falling)
	if seconds := now.Sub(m.lastAt).Seconds(); seconds > 0 {
		for signal, was := range m.last {
			if is, known := o[signal]; known {
				m.falling[signal] = float64(was.Available-is.Available) / seconds
			}
		}
	}
	m.last, m.lastAt = o, now
}

// MetBy holds when the observation is below the threshold.
func (t Threshold) MetBy(o Observation) bool {
	level, known := o[t.Signal]
	return known && level.Available < t.quantity(level.Capacity)
}

// rates are the most that a machine is expected to use up in a second: bytes or a count. They bound how long one may look away.
var rates = map[corev1.ResourceName]int64{
	corev1.ResourceMemory: 256 << 20, corev1.ResourceEphemeralStorage: 200 << 20, "inodes": 10_000, "pids": 100,
}

// soonest bounds how often a node is looked at that loses something fast.
const soonest = time.Second

// NextLook is how long the node may go unobserved after the last observation, before another threshold could be met: between least and
// most, or less where one would be if all went on as between the last two observations.
func (m *Monitor) NextLook(least, most time.Duration) time.Duration {
	next, hurry := most, most
	for _, t := range m.thresholds {
		level, known := m.last[t.Signal]
		left := level.Available - t.quantity(level.Capacity)
		if !known || left < 0 {
			continue
		}
		next = min(next, time.Duration(left/rates[t.Signal.Resource()])*time.Second)
		if falling := m.falling[t.Signal]; falling > 0 {
			seconds := min(float64(left)/falling, most.Seconds()*2)
			hurry = min(hurry, time.Duration(seconds*float64(time.Second))/2) // it may become faster
		}
	}
	return min(max(next, least), max(hurry, soonest))
}
