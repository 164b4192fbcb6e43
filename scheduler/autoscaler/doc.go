// Package autoscaler runs on the leader and keeps workloads as large as their HorizontalPodAutoscalers want them.
//
// What comes in: the autoscalers, their targets and pods from the store, and samples of what pods use from a Sampler. What
// goes out: new sizes of targets, the status of autoscalers, events. What to decide is package autoscale's; here it is read,
// measured and written.
//
// While there is no autoscaler nothing is sampled and nobody wakes up. Samples are kept nowhere. Of objects only those that have
// changed since the last step are decoded. A status is written when it says something new, so that a steady load writes nothing.
// With it goes the estimate (an annotation), from which a new leader goes on; its first recommendation is the size that it finds, from
// which the stabilisation windows go on.
package autoscaler
