// Package link makes and accepts the connections between the nodes of a cluster: TLS, both ends known by their keys.
//
// What comes in: the node's certificate, and where a node is at the moment. What goes out: connections to a node by its ID, and
// listeners that yield only those of nodes. Package node hands them to Raft, to the gossip and to package peer.
package link
