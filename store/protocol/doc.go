// Package protocol numbers what the nodes of a cluster say to each other, and decides which number they agree on.
//
// One small number stands for all of it: the metadata of the gossip, the format of the entries in the Raft log, of snapshots and of the
// files that hold the state, and the requests between nodes. Each covey speaks a range of them, which it gossips. The cluster has
// agreed on one, the highest that every node speaks: it is in the replicated state, the leader raises it, and it never falls.
//
// # The versions
//
//   - 1: what covey spoke before there were numbers. A node that names no range speaks this one.
//   - 2: an entry of the log names the beginning that its keys have in common once (store, entryFormat2).
//
// # When to raise Newest
//
// Raise it in the same change that has nodes write or ask what a node of the version before cannot read, and do the new thing only where
// Snapshot.Agreed says that all nodes can. What older nodes skip without harm, such as a new field of the gossip's metadata,
// needs no number. A format that changes (of an entry, a stream, a state file) takes the version as its number. Raise Oldest only where
// what it speaks is really gone from the code, and never to above what the release before had as Newest: neighbouring releases run
// together, and a cluster is upgraded one node at a time.
//
// Callers: store, which writes in the agreed version's format; node, which gossips the range, refuses nodes that speak none of the
// cluster's, and raises the version while it leads.
package protocol
