// Package scheduler is what the leader runs: it turns what is asked for into pods on nodes.
//
// What comes in: the store's snapshots and its watch. What goes out: transactions, one per round, with all that the
// controllers (scheduler/controller) and the placement (scheduler/placement) decided. A round works on the snapshot
// with its own changes laid over it and goes on until nothing is left to decide, so that a new Deployment, its
// ReplicaSet, its Pods and their nodes are one entry in the log. Everything is level-triggered: the watch only says
// what to look at again, and after a start or a lost watch everything is looked at.
//
// It keeps an index of small facts about all objects (who owns what, what runs where), and no objects. It is quiet when
// nothing changes: it wakes for a change, or for the earliest time at which something is due.
//
// Caller: node, inside of leadership.
package scheduler
