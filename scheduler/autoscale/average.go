package autoscale

import "math"

// DefaultAlpha is the weight of the past that an average has unless it is told otherwise.
const DefaultAlpha = 0.2

// Average is an exponentially weighted moving average. The zero value has seen nothing.
type Average struct {
	lambda float64
	begun  bool
}

// Resume is an average that goes on from an earlier estimate.
func Resume(lambda float64) Average { return Average{lambda: lambda, begun: true} }

// Next is the average after one more measurement; the first is taken as it is.
func (a Average) Next(alpha, load float64) Average {
	if !a.begun {
		return Resume(load)
	}
	return Resume(alpha*a.lambda + (1-alpha)*load)
}

// Value is the estimate, and whether there is one.
func (a Average) Value() (lambda float64, ok bool) { return a.lambda, a.begun }

// hair is by how much a load may be above a whole number of targets, by rounding alone, and not need one more.
const hair = 1e-9

// Replicas is how many replicas carry a load, with a target load for each: ceil(lambda / target). What is not a number, or a
// target that is not above 0, needs none.
func Replicas(lambda, target float64) int32 {
	if !(lambda > 0) || !(target > 0) {
		return 0
	}
	n := math.Ceil(lambda/target - hair)
	if n > math.MaxInt32 {
		return math.MaxInt32
	}
	return int32(n)
}
