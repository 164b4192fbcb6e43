// Package identity keeps who a node is: its key pair, the cluster's certificate authority, and the certificates made
// from them.
//
// A server's identity holds the CA's private key too, which a server that joins is handed (Cluster, Adopt).
//
// What comes in: a directory and a clock. What goes out: the node's ID (the fingerprint of its public key), TLS
// configurations whose certificates renew by themselves, and the administrator's kubeconfig. Package node calls it.
package identity
