// Package raft runs consensus for the store: hashicorp/raft, its log in segments, its snapshots in files, its
// transport.
//
// What comes in: entries to replicate, and the Machine that they are applied to. What goes out: entries that are durable,
// in one order, and who leads. A quiet node writes nothing.
//
// On disk, in Config.Dir: log/, raft.db (the term and the vote), snapshots/, and committed (how far the log is). The machine keeps
// a file of its own that follows the log; at the start its Revision decides whether the newest snapshot has to be restored or
// whether replaying the log is enough. What is known to be committed is replayed before there is a leader.
//
// Caller: store.
package raft
