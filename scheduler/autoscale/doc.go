// Package autoscale decides how many replicas a load needs: an exponentially weighted moving average of the load, and around
// it what keeps a real service steady.
//
// With L(t) the load measured at step t, summed over a workload's ready replicas, the estimate is
//
//	lambda(0) = L(0)
//	lambda(t+1) = alpha*lambda(t) + (1-alpha)*L(t)
//
// where alpha, the weight of the past, is from 0 to 1. With T the target load per replica, N = ceil(lambda / T). What comes
// in: the time, the rules, the replicas there are, and a measurement per metric. What goes out: how many there should be, and why.
// A Scaler remembers one workload's estimates and what was recently recommended and done. There is no clock and no I/O.
//
// Tolerance, stabilisation windows and policies mean what they mean in Kubernetes' HorizontalPodAutoscaler.
package autoscale
