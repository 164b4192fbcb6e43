package metrics

import "github.com/prometheus/client_golang/prometheus"

// Where a metric is served.
const (
	everywhere = "every node"
	leader     = "the leader"
)

// Definition is one metric.
type Definition struct {
	Name, Help string
	Labels     []string
	Where      string // which nodes serve it
	Type       prometheus.ValueType
	desc       *prometheus.Desc
}

// Definitions are the metrics that are collected at a scrape, in the order in which they were defined.
func Definitions() []*Definition { return defined }

var defined []*Definition

func define(where string, kind prometheus.ValueType, name, help string, labels ...string) *Definition {
	d := &Definition{Name: name, Help: help, Labels: labels, Where: where, Type: kind, desc: prometheus.NewDesc(name, help, labels, nil)}
	defined = append(defined, d)
	return d
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// Names shared with the kubelet and cAdvisor, for the pods of the node that is asked.
var (
	containerCPU    = define(everywhere, counter, "container_cpu_usage_seconds_total", "Processor time that a container has used, in seconds", "namespace", "pod", "container")
	containerMemory = define(everywhere, gauge, "container_memory_working_set_bytes", "Working set of a container's memory", "namespace", "pod", "container")
	containerStart  = define(everywhere, gauge, "container_start_time_seconds", "When a container was started, in seconds since 1970", "namespace", "pod", "container")
	nodeCPU         = define(everywhere, counter, "node_cpu_usage_seconds_total", "Processor time that the machine has used, in seconds")
	nodeMemory      = define(everywhere, gauge, "node_memory_working_set_bytes", "Working set of the machine's memory")
	probes          = define(everywhere, counter, "prober_probe_total", "Checks of a container by a probe, by their result: successful or failed", "namespace", "pod", "container", "probe_type", "result")
	runningPods     = define(everywhere, gauge, "kubelet_running_pods", "Pods that run on this node")
	podPhase        = define(everywhere, gauge, "kube_pod_status_phase", "1 for the phase that a pod of this node is in", "namespace", "pod", "phase")
	podRestarts     = define(everywhere, counter, "kube_pod_container_status_restarts_total", "Restarts of a container of a pod of this node", "namespace", "pod", "container")
	podReady        = define(everywhere, gauge, "kube_pod_status_ready", "1 when a pod of this node is ready", "namespace", "pod")
)

// The node's own parts.
var (
	buildInfo      = define(everywhere, gauge, "covey_build_info", "1, with the version of covey", "version")
	protocolSpoken = define(everywhere, gauge, "covey_protocol_version", "Version of the protocol between nodes: agreed, which they speak, and newest, which this node could", "which")
	storeRevision  = define(everywhere, gauge, "covey_store_revision", "The newest revision of the state that this node has: the index of the Raft log entry that was applied last")
	storeObjects   = define(everywhere, gauge, "covey_store_objects", "Objects in the state, by kind", "resource")
	raftLeader     = define(everywhere, gauge, "covey_raft_leader", "1 when this node leads")
	raftMembers    = define(everywhere, gauge, "covey_raft_members", "Servers that hold a replica, by whether they vote: voter or follower", "role")
	gossipMembers  = define(everywhere, gauge, "covey_gossip_members", "Nodes that are alive, as the gossip says")
	gossipLost     = define(everywhere, gauge, "covey_gossip_lost_members", "Nodes that were alive and are not, and did not leave")
	gossipHealth   = define(everywhere, gauge, "covey_gossip_health_score", "0 when this node hears from the others in time, and more the less it does")
	gossipPackets  = define(everywhere, counter, "covey_gossip_packets_total", "UDP packets of the gossip: sent or received", "direction")
	gossipBytes    = define(everywhere, counter, "covey_gossip_bytes_total", "Bytes in UDP packets of the gossip: sent or received", "direction")
)

// Names shared with kube-state-metrics and the scheduler, for the cluster as a whole.
var (
	kubeNode            = define(leader, gauge, "kube_node_status_condition", "1 for the status that a node's condition has", "node", "condition", "status")
	raftContact         = define(leader, gauge, "covey_raft_contact_seconds", "Time since a server, by its ID, has last answered the leader", "server")
	nodeUnschedulable   = define(leader, gauge, "kube_node_spec_unschedulable", "1 when a node is cordoned", "node")
	pendingPods         = define(leader, gauge, "scheduler_pending_pods", "Pods that wait for a node", "queue")
	deploymentWanted    = define(leader, gauge, "kube_deployment_spec_replicas", "Replicas that a Deployment is to have", "namespace", "deployment")
	deploymentReplicas  = define(leader, gauge, "kube_deployment_status_replicas", "Replicas that a Deployment has", "namespace", "deployment")
	deploymentReady     = define(leader, gauge, "kube_deployment_status_replicas_ready", "Replicas of a Deployment that are ready", "namespace", "deployment")
	deploymentAvailable = define(leader, gauge, "kube_deployment_status_replicas_available", "Replicas of a Deployment that are available", "namespace", "deployment")
	deploymentUpdated   = define(leader, gauge, "kube_deployment_status_replicas_updated", "Replicas of a Deployment that have its newest template", "namespace", "deployment")
	deploymentCondition = define(leader, gauge, "kube_deployment_status_condition", "1 for the status that a Deployment's condition has", "namespace", "deployment", "condition", "status")
	hpaMin              = define(leader, gauge, "kube_horizontalpodautoscaler_spec_min_replicas", "Least replicas that an autoscaler allows", "namespace", "horizontalpodautoscaler")
	hpaMax              = define(leader, gauge, "kube_horizontalpodautoscaler_spec_max_replicas", "Most replicas that an autoscaler allows", "namespace", "horizontalpodautoscaler")
	autoscalerLoad      = define(leader, gauge, "covey_autoscaler_load", "Load that was measured last, of the metric that wants most: thousandths of a core, bytes, or requests", "namespace", "horizontalpodautoscaler")
	autoscalerEstimate  = define(leader, gauge, "covey_autoscaler_estimate", "Moving average of that load", "namespace", "horizontalpodautoscaler")
	autoscalerTarget    = define(leader, gauge, "covey_autoscaler_target", "Load that one replica is to have", "namespace", "horizontalpodautoscaler")
	autoscalerWanted    = define(leader, gauge, "covey_autoscaler_replicas_wanted", "Replicas that the estimate asks for, before windows, policies and bounds", "namespace", "horizontalpodautoscaler")
	autoscalerHeld      = define(leader, gauge, "covey_autoscaler_replicas_held", "Replicas that were decided on", "namespace", "horizontalpodautoscaler")
)
