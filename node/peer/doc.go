// Package peer is what nodes ask of each other over HTTP on the shared port: the leader's part of a write or a read, and a
// node's pods (logs, exec, images).
//
// What comes in: connections between nodes (package link), this node's store and agent. What goes out: store.Peers, and an
// http.Handler for each other node. Package node calls it.
package peer
