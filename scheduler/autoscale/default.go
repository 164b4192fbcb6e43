package autoscale

import "time"

// DefaultTolerance is the part of the target by which the load may differ and nothing changes.
const DefaultTolerance = 0.1

// DefaultUp grows at once, at most to double or by four in a quarter of a minute; DefaultDown shrinks to the most that was wanted
// in five minutes. Both are Kubernetes' defaults.
func DefaultUp() Direction {
	return Direction{Tolerance: DefaultTolerance, Select: SelectMost, Policies: []Policy{
		{Value: 4, Period: 15 * time.Second}, {Percent: true, Value: 100, Period: 15 * time.Second},
	}}
}

// DefaultDown is described with DefaultUp.
func DefaultDown() Direction {
	return Direction{
		Window: 5 * time.Minute, Tolerance: DefaultTolerance, Select: SelectMost,
		Policies: []Policy{{Percent: true, Value: 100, Period: 15 * time.Second}},
	}
}
