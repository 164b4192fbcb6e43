// Package metrics knows how much of the processor and of memory nodes and containers use now.
//
// What comes in: the counters that nodes serve under /metrics/resource. What goes out: the use of a node and of its
// containers over a window of time. Nothing is asked before someone asks for it: then the counters are read, and compared
// with those of the time before if that was not long ago, or else read again a second later. Package api serves it as
// metrics.k8s.io, for kubectl top and autoscalers.
package metrics
