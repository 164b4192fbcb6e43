// Package remote is what a worker, which holds no replica, and the servers say to each other.
//
// A server tells a worker what concerns it, and whatever of that changes, in one stream (Handler): the pods bound to it, what
// ConfigMaps and Secrets they refer to, the nodes, and those that were removed. Nothing else can be read. The worker writes what a node may write of itself:
// its registration, the statuses of its pods, events.
//
// What comes in on a server: its store, and a Writer for each node (package upstream). On a worker: connections with servers, and
// a store.Mirror, which keeps what it was told (Client). What goes out: upstream.Source and upstream.Writer. Package node calls it.
package remote
