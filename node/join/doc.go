// Package join brings a new node into a cluster: it shows a token, and is handed what a server of the cluster has.
//
// A token is ID.SECRET.CA: the Secret bootstrap-token-ID of type bootstrap.kubernetes.io/token in kube-system holds SECRET and how
// long it is good for, as kubeadm has it; CA is the SHA-256 of the cluster CA's certificate, so that a node cannot be lured
// into another cluster. A node that does not speak the protocol version that the cluster has agreed on is refused. Package node calls both sides.
package join
