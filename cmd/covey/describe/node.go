package describe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Node describes a node with the pods that are bound to it.
func (w *Writer) Node(n *corev1.Node, pods []corev1.Pod) {
	w.field(0, "Name", n.Name)
	w.field(0, "Roles", orNone(strings.Join(roles(n), ",")))
	w.labels(n)
	w.field(0, "CreationTimestamp", timeText(n.CreationTimestamp))
	var taints []string
	for _, t := range n.Spec.Taints {
		taints = append(taints, t.ToString())
	}
	w.list(0, "Taints", taints)
	w.field(0, "Unschedulable", n.Spec.Unschedulable)
	if len(n.Status.Conditions) > 0 {
		var rows [][]string
		for _, c := range n.Status.Conditions {
			rows = append(rows, []string{string(c.Type), string(c.Status), timeText(c.LastTransitionTime), c.Reason, c.Message})
		}
		w.line(0, "Conditions:")
		w.table(1, []string{"Type", "Status", "LastTransitionTime", "Reason", "Message"}, rows)
	}
	w.line(0, "Addresses:")
	for _, a := range n.Status.Addresses {
		w.field(1, string(a.Type), a.Address)
	}
	w.resources(0, "Capacity", n.Status.Capacity)
	w.resources(0, "Allocatable", n.Status.Allocatable)
	w.nodeInfo(n)
	running := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool {
		return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	w.nodePods(n, running)
}

func (w *Writer) nodeInfo(n *corev1.Node) {
	info := n.Status.NodeInfo
	w.line(0, "System Info:")
	for _, f := range [][2]string{
		{"Machine ID", info.MachineID}, {"System UUID", info.SystemUUID}, {"Boot ID", info.BootID},
		{"Kernel Version", info.KernelVersion}, {"OS Image", info.OSImage}, {"Operating System", info.OperatingSystem},
		{"Architecture", info.Architecture}, {"Container Runtime Version", info.ContainerRuntimeVersion},
		{"Kubelet Version", info.KubeletVersion},
	} {
		w.optional(1, f[0], f[1])
	}
	w.optional(0, "PodCIDR", n.Spec.PodCIDR)
	w.optional(0, "PodCIDRs", strings.Join(n.Spec.PodCIDRs, ","))
}

// accounted are the resources that pods are weighed by.
var accounted = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

func (w *Writer) nodePods(n *corev1.Node, pods []corev1.Pod) {
	w.line(0, "Non-terminated Pods:\t(%d in total)", len(pods))
	var rows [][]string
	all := map[string]*resource.Quantity{}
	for i := range pods {
		p := &pods[i]
		row := []string{p.Namespace, p.Name}
		for _, name := range accounted {
			requests, limits := podResources(p, name)
			for key, q := range map[string]resource.Quantity{"r" + string(name): requests, "l" + string(name): limits} {
				if all[key] == nil {
					all[key] = &resource.Quantity{}
				}
				all[key].Add(q)
			}
			row = append(row, share(&requests, n, name), share(&limits, n, name))
		}
		rows = append(rows, append(row, w.age(p.CreationTimestamp.Time)))
	}
	w.table(1, []string{"Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"}, rows)
	w.line(0, "Allocated resources:")
	rows = nil
	for _, name := range accounted {
		rows = append(rows, []string{string(name), share(all["r"+string(name)], n, name), share(all["l"+string(name)], n, name)})
	}
	w.table(1, []string{"Resource", "Requests", "Limits"}, rows)
}

// podResources are what a pod asks for and may use at most, as Kubernetes adds it up.
func podResources(p *corev1.Pod, name corev1.ResourceName) (requests, limits resource.Quantity) {
	return resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{})[name], resourcehelper.PodLimits(p, resourcehelper.PodResourcesOptions{})[name]
}

func share(q *resource.Quantity, n *corev1.Node, name corev1.ResourceName) string {
	if q == nil {
		q = &resource.Quantity{}
	}
	of := n.Status.Allocatable[name]
	percent := 0.0
	if of.MilliValue() > 0 {
		percent = float64(q.MilliValue()) / float64(of.MilliValue()) * 100
	}
	return fmt.Sprintf("%s (%d%%)", q, int(percent))
}

func roles(n *corev1.Node) []string {
	var found []string
	for _, label := range slices.Sorted(maps.Keys(n.Labels)) {
		if role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/"); ok && role != "" {
			found = append(found, role)
		}
	}
	return found
}
