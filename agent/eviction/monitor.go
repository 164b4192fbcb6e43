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

// Transition is how long a node condition holds at least after it was observed last, so that it does not flap.
const Transition = 5 * time.Minute

// Monitor remembers when thresholds were met, from one observation to the next.
type Monitor struct {
	thresholds []Threshold
	firstMet   map[Threshold]time.Time
	lastSeen   map[corev1.NodeConditionType]time.Time
}

// NewMonitor watches the given thresholds.
func NewMonitor(thresholds []Threshold) *Monitor {
	return &Monitor{thresholds: thresholds, firstMet: map[Threshold]time.Time{}, lastSeen: map[corev1.NodeConditionType]time.Time{}}
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
		if now.Sub(seen) < Transition {
			v.Conditions = append(v.Conditions, condition)
		}
	}
	slices.Sort(v.Conditions)
	return v
}

// MetBy holds when the observation is below the threshold.
func (t Threshold) MetBy(o Observation) bool {
	level, known := o[t.Signal]
	return known && level.Available < t.quantity(level.Capacity)
}

// The most that a machine is expected to use up in a second. It bounds how long one may look away.
const (
	diskRate   = 200 << 20 // bytes
	inodeRate  = 10_000
	memoryRate = 256 << 20 // bytes
	pidRate    = 100
)

// NextLook is how long a node with this much left may go unobserved before a threshold could be met; between least and
// most.
func (m *Monitor) NextLook(o Observation, least, most time.Duration) time.Duration {
	next := most
	for _, t := range m.thresholds {
		level, known := o[t.Signal]
		if !known {
			continue
		}
		left := level.Available - t.quantity(level.Capacity)
		rate := map[corev1.ResourceName]int64{
			corev1.ResourceMemory: memoryRate, corev1.ResourceEphemeralStorage: diskRate, "inodes": inodeRate, "pids": pidRate,
		}[t.Signal.Resource()]
		next = min(next, time.Duration(left/rate)*time.Second)
	}
	return max(next, least)
}
