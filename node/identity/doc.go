// Package identity keeps who a node is: its key pair, the keys that all nodes of the cluster share (its certificate authorities and
// the keys of the gossip), and the certificates made from them.
//
// A server has the CA's private key too, which one that joins is handed (Keys, Adopt). Keys change by generations: RotateCA,
// RotateGossip and Settle make the next one, Install takes it up. A worker is handed the keys without it, and a certificate that a
// server made for the worker's own key (AdoptWorker, IssueWorker, Renew).
//
// What comes in: a directory and a clock. What goes out: the node's ID (the fingerprint of its public key), TLS
// configurations whose certificates renew by themselves, and the administrator's kubeconfig. Package node calls it.
package identity
