// Package requests asks pods how many requests they have served and are serving: it reads the Prometheus endpoint that a pod
// names in its annotations.
//
// What comes in: a pod's annotations and address. What goes out: two numbers, added up over the labels of the first metric
// that is known by one of the usual names. Nothing is kept and nothing polls: the agent asks when an autoscaler asks it.
package requests
