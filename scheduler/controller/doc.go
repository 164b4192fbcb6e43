// Package controller decides what should be, kind by kind.
//
// What comes in: one object with those that belong to it, as plain k8s.io/api structs, and an Env with the time. What
// goes out: a Result, the list of changes to objects, the events to record, and when to ask again though nothing has
// changed. Nothing here reads a store, a clock or a random source, and objects handed in are never modified, so every
// decision can be tested as a table.
//
//	Deployment  -> its ReplicaSets: rollout, scale, revisions, conditions
//	ReplicaSet  -> its Pods and its status
//	Garbage     -> an object whose owners are gone, or that waits for its dependents
//	Namespace   -> what every namespace has, and the end of one that terminates
//	Budget      -> how many pods of a PodDisruptionBudget may be taken away
//	TaintEviction -> a pod on a node that it does not tolerate, or no longer
//	TooManyEnded  -> pods that ended long ago
//	(the same)  -> one that may run at most once, on a node that is lost
//	Unready     -> a pod on a node that is lost, which says that it is ready
//	LostPod     -> a pod that no agent will ever remove
//
// The semantics, names, reasons and messages are those of Kubernetes' own controllers, because kubectl and people read
// them.
//
// Caller: scheduler, which loads, commits and waits.
package controller
