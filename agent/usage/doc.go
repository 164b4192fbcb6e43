// Package usage reads how much processor time and memory the node and its containers use: from cgroups, v1 or v2, and
// from /proc. Nothing is kept and nothing polls: it reads when someone asks. The agent serves what it reads under
// /metrics/resource, as Kubernetes' kubelet does, where the API server and Prometheus find it.
package usage
