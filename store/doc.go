// Package store keeps the desired state of the cluster.
//
// What comes in: transactions of object changes (effects, not commands), each proposed as one Raft log entry and applied
// with compare-and-set on every object it names. What goes out: immutable snapshots at a revision, and a watch.
//
// A revision is the Raft log index of the change: one sequence for the whole cluster, never reused. The objects live
// encoded (protobuf) in an immutable radix tree in memory; the Raft log on disk is what makes a write durable, and a
// bbolt file follows the tree behind it so that a start need not replay the whole log.
//
// What is written is in the format of the protocol version that the cluster has agreed on (package protocol), which is part of the state.
//
// Callers: api (for users), scheduler (for the controllers) and node (for the local agent).
package store
