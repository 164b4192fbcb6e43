// Package simulate plays a load to the rule of package autoscale and to Kubernetes' own, side by side, and adds up what they cost
// and what they miss.
//
// What comes in: a trace, the load for each second. What goes out: for each rule the replicas for each second, how long there were too
// few of them, and how many replica-seconds they took. A table and a picture (SVG) show it. The same seed gives the same
// result. The command `covey simulate autoscale` calls it.
package simulate
