// Package autoscaler runs on the leader and keeps workloads as large as their HorizontalPodAutoscalers want them.
//
// What comes in: the autoscalers, their targets and pods from the store, and samples of what pods use from a Sampler. What
// goes out: new sizes of targets, the status of autoscalers, events. What to decide is package autoscale's; here it is read,
// measured and written.
//
// While there is no autoscaler nothing is sampled and nobody wakes up. Samples are kept nowhere. A status is written when it
// says something new, so that a steady load writes nothing. A new leader measures anew: its first estimate is the load that it
// finds, and its first recommendation the size that it finds, from which the stabilisation windows go on.
package autoscaler
