// Package metrics says in Prometheus' format what a node does: its pods and containers, probes, requests to its API, the gossip and
// Raft; and, on the leader, what the cluster's objects are like: nodes, rollouts, autoscalers.
//
// What comes in: a Source that is asked when someone scrapes, and requests as they are answered. What goes out: an HTTP handler.
// Nothing is measured between scrapes but counters. Where Kubernetes' API server, kubelet or kube-state-metrics have a metric for
// the same thing, it has their name and labels. docs/metrics.md is made from the definitions here.
package metrics

//go:generate go run ./generate ../../docs/metrics.md
