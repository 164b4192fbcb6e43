// Package gossip knows which nodes there are, which of them are alive, and at which address each is: hashicorp/memberlist over
// the node's one port, encrypted.
//
// Nodes of other versions of covey read each other's metadata: fields are only ever added, and each may be missing.
//
// What comes in: who this node is, a UDP socket and the TLS streams of other nodes. What goes out: the members, by node ID,
// and a signal when they change. Nothing of it goes to disk but the addresses to come back to after a restart. Package node
// calls it.
package gossip
