package node

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/node/metrics"
	"covey.dev/covey/store"
)

// TargetsPath is where Prometheus finds what to scrape by HTTP service discovery, which each build of it has: the nodes, and with
// ?role=pod the pods that ask for it.
const TargetsPath = "/covey/targets"

// targetGroup is Prometheus' form of what to scrape.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func (n *node) targetsHandler(w http.ResponseWriter, r *http.Request) {
	snap := n.store.Snapshot()
	groups := []targetGroup{}
	if r.URL.Query().Get("role") == "pod" {
		for pod := range store.List[*corev1.Pod](snap, "pods", "") {
			if group, ok := podTarget(pod); ok {
				groups = append(groups, group)
			}
		}
	} else {
		for node := range store.List[*corev1.Node](snap, "nodes", "") {
			if group, ok := nodeTarget(node); ok {
				groups = append(groups, group)
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(groups) // the client is gone, and nobody else would want to know
}

func nodeTarget(node *corev1.Node) (targetGroup, bool) {
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			port := strconv.Itoa(int(node.Status.DaemonEndpoints.KubeletEndpoint.Port))
			return targetGroup{[]string{net.JoinHostPort(a.Address, port)}, map[string]string{"node": node.Name, "__metrics_path__": metrics.Path}}, true
		}
	}
	return targetGroup{}, false
}

// podTarget is what a pod says of itself in the usual annotations.
func podTarget(pod *corev1.Pod) (targetGroup, bool) {
	const scrape, port, path = "prometheus.io/scrape", "prometheus.io/port", "prometheus.io/path"
	notes := pod.Annotations
	if notes[scrape] != "true" || notes[port] == "" || pod.Status.PodIP == "" || pod.Status.Phase != corev1.PodRunning {
		return targetGroup{}, false
	}
	labels := map[string]string{"namespace": pod.Namespace, "pod": pod.Name, "node": pod.Spec.NodeName}
	if notes[path] != "" {
		labels["__metrics_path__"] = notes[path]
	}
	return targetGroup{[]string{net.JoinHostPort(pod.Status.PodIP, notes[port])}, labels}, true
}
