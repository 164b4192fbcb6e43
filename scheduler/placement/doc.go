// Package placement decides which node a pod runs on.
//
// What comes in: nodes (SetNode), what is already bound to them (Add) and the demand of a pod (NewDemand). What goes
// out: the name of a node (Place), or why there is none (Explain), in kube-scheduler's wording.
//
// A Cluster is a table of numbers, kept up to date by its caller rather than rebuilt, so that placing a pod is a scan
// over a few arrays. Rules that depend only on the pod's template and the node (selectors, affinity, taints) are
// evaluated once per template and remembered. Rules about other pods (affinity, anti-affinity, spread constraints) are
// evaluated once per group of like pods and counted by topology domain: each pod that comes or goes moves a few counts,
// and a node is checked by looking its domain up. There is no store, no clock and no randomness in it: the same calls in
// the same order give the same nodes.
//
// Caller: scheduler, once per round for all pods that wait.
package placement
