package metrics

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/store"
	"covey.dev/covey/store/protocol"
)

// collector asks the source at each scrape.
type collector struct {
	source Source
	log    *slog.Logger
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range defined {
		out <- d.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	send := func(d *Definition, value float64, labels ...string) {
		m, err := prometheus.NewConstMetric(d.desc, d.Type, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(d.desc, err)
		}
		out <- m
	}
	snap := c.source.Snapshot()
	c.parts(snap, send)
	c.containers(send)
	c.pods(snap, send)
	if c.source.Leads() {
		c.cluster(snap, send)
	}
}

type sender func(d *Definition, value float64, labels ...string)

func (c *collector) parts(snap *store.Snapshot, send sender) {
	send(buildInfo, 1, c.source.Version())
	send(protocolSpoken, float64(snap.Agreed()), "agreed")
	send(protocolSpoken, float64(protocol.Spoken().Newest), "newest")
	send(storeRevision, float64(snap.Revision()))
	for _, name := range c.source.Resources() {
		send(storeObjects, float64(snap.Count(name, "")), name)
	}
	send(raftLeader, truth(c.source.Leads()))
	roles := map[bool]int{}
	for _, server := range c.source.Servers() {
		roles[server.Voter]++
	}
	send(raftMembers, float64(roles[true]), "voter")
	send(raftMembers, float64(roles[false]), "follower")
	g := c.source.Gossip()
	send(gossipMembers, float64(g.Alive))
	send(gossipLost, float64(g.Lost))
	send(gossipHealth, float64(g.Health))
	for direction, packets := range map[string]gossip.Packets{"sent": g.Sent, "received": g.Received} {
		send(gossipPackets, float64(packets.Count), direction)
		send(gossipBytes, float64(packets.Bytes), direction)
	}
}

// containers are those that run here, and their probes.
func (c *collector) containers(send sender) {
	ctx, cancel := context.WithTimeout(context.Background(), gatherTime)
	defer cancel()
	m, err := c.source.Usage(ctx)
	if err != nil {
		c.log.Warn("metrics of the containers could not be read", "err", err)
		return
	}
	if m.Usage == nil {
		return
	}
	for i := range m.Usage.Containers {
		u := &m.Usage.Containers[i]
		send(containerCPU, u.CPU.Seconds(), u.Namespace, u.Pod, u.Name)
		send(containerMemory, float64(u.Memory), u.Namespace, u.Pod, u.Name)
		send(containerStart, float64(u.Started.UnixMilli())/1000, u.Namespace, u.Pod, u.Name)
	}
	send(nodeCPU, m.Usage.CPU.Seconds())
	send(nodeMemory, float64(m.Usage.Memory))
	for _, p := range m.Probes {
		send(probes, float64(p.Count), p.Namespace, p.Pod, p.Container, p.Type, p.Result)
	}
}

var phases = []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown}

// pods are those of this node, so that no two nodes tell of the same.
func (c *collector) pods(snap *store.Snapshot, send sender) {
	running := 0
	for pod := range store.List[*corev1.Pod](snap, "pods", "") {
		if pod.Spec.NodeName != c.source.NodeName() {
			continue
		}
		if pod.Status.Phase == corev1.PodRunning {
			running++
		}
		for _, phase := range phases {
			send(podPhase, truth(pod.Status.Phase == phase), pod.Namespace, pod.Name, string(phase))
		}
		ready := false
		for _, condition := range pod.Status.Conditions {
			ready = ready || condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
		}
		send(podReady, truth(ready), pod.Namespace, pod.Name)
		for i := range pod.Status.ContainerStatuses {
			s := &pod.Status.ContainerStatuses[i]
			send(podRestarts, float64(s.RestartCount), pod.Namespace, pod.Name, s.Name)
		}
	}
	send(runningPods, float64(running))
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
