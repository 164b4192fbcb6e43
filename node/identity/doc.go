// Package identity keeps who a node is: its key pair, the cluster's certificate authority, and the certificates made
// from them.
//
// What comes in: a directory and a clock. What goes out: the node's ID (the fingerprint of its public key), TLS
// configurations whose certificates renew by themselves, and the administrator's kubeconfig. Package node calls it.
package identity
