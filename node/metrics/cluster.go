package metrics

import (
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"covey.dev/covey/store"
)

// cluster is what the leader tells, for all nodes.
func (c *collector) cluster(snap *store.Snapshot, send sender) {
	for node := range store.List[*corev1.Node](snap, "nodes", "") {
		send(nodeUnschedulable, truth(node.Spec.Unschedulable), node.Name)
		for _, is := range node.Status.Conditions {
			condition(send, kubeNode, is.Status, node.Name, string(is.Type))
		}
	}
	for _, server := range c.source.Servers() {
		if at := c.source.Contact(server.ID); !at.IsZero() {
			send(raftContact, time.Since(at).Seconds(), server.ID)
		}
	}
	pending := 0
	for pod := range store.List[*corev1.Pod](snap, "pods", "") {
		if pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil {
			pending++
		}
	}
	send(pendingPods, float64(pending), "unschedulable")
	for d := range store.List[*appsv1.Deployment](snap, "deployments.apps", "") {
		send(deploymentWanted, float64(ptr.Deref(d.Spec.Replicas, 1)), d.Namespace, d.Name)
		send(deploymentReplicas, float64(d.Status.Replicas), d.Namespace, d.Name)
		send(deploymentReady, float64(d.Status.ReadyReplicas), d.Namespace, d.Name)
		send(deploymentAvailable, float64(d.Status.AvailableReplicas), d.Namespace, d.Name)
		send(deploymentUpdated, float64(d.Status.UpdatedReplicas), d.Namespace, d.Name)
		for _, is := range d.Status.Conditions {
			condition(send, deploymentCondition, is.Status, d.Namespace, d.Name, string(is.Type))
		}
	}
	c.autoscalers(snap, send)
}

func (c *collector) autoscalers(snap *store.Snapshot, send sender) {
	for h := range store.List[*autoscalingv2.HorizontalPodAutoscaler](snap, "horizontalpodautoscalers.autoscaling", "") {
		send(hpaMin, float64(ptr.Deref(h.Spec.MinReplicas, 1)), h.Namespace, h.Name)
		send(hpaMax, float64(h.Spec.MaxReplicas), h.Namespace, h.Name)
	}
	for _, o := range c.source.Autoscalers() {
		send(autoscalerLoad, o.Load, o.Namespace, o.Name)
		send(autoscalerEstimate, o.Estimate, o.Namespace, o.Name)
		send(autoscalerTarget, o.Target, o.Namespace, o.Name)
		send(autoscalerWanted, float64(o.Wanted), o.Namespace, o.Name)
		send(autoscalerHeld, float64(o.Held), o.Namespace, o.Name)
	}
}

// condition tells each status that a condition may have, 1 for the one it has, as kube-state-metrics does.
func condition(send sender, d *Definition, is corev1.ConditionStatus, labels ...string) {
	for _, status := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown} {
		send(d, truth(is == status), append(labels[:len(labels):len(labels)], strings.ToLower(string(status)))...)
	}
}
