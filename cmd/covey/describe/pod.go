package describe

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Pod describes a pod, without its events.
func (w *Writer) Pod(p *corev1.Pod) {
	w.meta(p)
	if p.Spec.Priority != nil {
		w.field(0, "Priority", *p.Spec.Priority)
	}
	w.optional(0, "Priority Class Name", p.Spec.PriorityClassName)
	w.optional(0, "Runtime Class Name", deref(p.Spec.RuntimeClassName))
	w.field(0, "Service Account", p.Spec.ServiceAccountName)
	node := none
	if p.Spec.NodeName != "" {
		node = p.Spec.NodeName + "/" + p.Status.HostIP
	}
	w.field(0, "Node", node)
	if p.Status.StartTime != nil {
		w.field(0, "Start Time", timeText(*p.Status.StartTime))
	}
	w.labels(p)
	w.podStatus(p)
	w.field(0, "IP", p.Status.PodIP)
	if len(p.Status.PodIPs) == 0 {
		w.field(0, "IPs", none)
	} else {
		w.line(0, "IPs:")
		for _, ip := range p.Status.PodIPs {
			w.field(1, "IP", ip.IP)
		}
	}
	w.controller(p)
	w.containers("Init Containers", p.Spec.InitContainers, p.Status.InitContainerStatuses)
	w.containers("Containers", p.Spec.Containers, p.Status.ContainerStatuses)
	w.ephemeral(p)
	if len(p.Status.Conditions) > 0 {
		w.line(0, "Conditions:")
		w.line(1, "Type\tStatus")
		for _, c := range p.Status.Conditions {
			w.line(1, "%s\t%s ", c.Type, c.Status)
		}
	}
	w.volumes(0, p.Spec.Volumes)
	w.optional(0, "QoS Class", string(p.Status.QOSClass))
	w.placement(0, &p.Spec)
}

func (w *Writer) podStatus(p *corev1.Pod) {
	switch {
	case p.DeletionTimestamp != nil:
		w.line(0, "Status:\tTerminating (lasts %s)", w.age(p.DeletionTimestamp.Time))
		if p.DeletionGracePeriodSeconds != nil {
			w.line(0, "Termination Grace Period:\t%ds", *p.DeletionGracePeriodSeconds)
		}
	default:
		w.field(0, "Status", p.Status.Phase)
	}
	w.optional(0, "Reason", p.Status.Reason)
	w.optional(0, "Message", p.Status.Message)
}

func (w *Writer) ephemeral(p *corev1.Pod) {
	var list []corev1.Container
	for _, c := range p.Spec.EphemeralContainers {
		list = append(list, corev1.Container(c.EphemeralContainerCommon))
	}
	w.containers("Ephemeral Containers", list, p.Status.EphemeralContainerStatuses)
}

// placement writes what a pod wants of its node.
func (w *Writer) placement(level int, spec *corev1.PodSpec) {
	w.pairs(level, "Node-Selectors", "=", spec.NodeSelector)
	var lines []string
	for _, t := range spec.Tolerations {
		lines = append(lines, toleration(&t))
	}
	w.list(level, "Tolerations", lines)
}

func toleration(t *corev1.Toleration) string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	if t.Effect != "" {
		text += ":" + string(t.Effect)
	}
	if t.Operator == corev1.TolerationOpExists && t.Value == "" {
		text = strings.TrimSpace(text + " op=Exists")
	}
	if t.TolerationSeconds != nil {
		text += fmt.Sprintf(" for %ds", *t.TolerationSeconds)
	}
	return text
}

func (w *Writer) volumes(level int, volumes []corev1.Volume) {
	if len(volumes) == 0 {
		w.field(level, "Volumes", none)
		return
	}
	w.line(level, "Volumes:")
	for i := range volumes {
		w.line(level+1, "%s:", volumes[i].Name)
		w.volume(level+2, &volumes[i])
	}
}

func (w *Writer) volume(level int, v *corev1.Volume) {
	switch {
	case v.EmptyDir != nil:
		w.field(level, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)")
		w.field(level, "Medium", v.EmptyDir.Medium)
		if v.EmptyDir.SizeLimit != nil {
			w.field(level, "SizeLimit", v.EmptyDir.SizeLimit)
		}
	case v.HostPath != nil:
		w.field(level, "Type", "HostPath (bare host directory volume)")
		w.field(level, "Path", v.HostPath.Path)
		if v.HostPath.Type != nil {
			w.field(level, "HostPathType", *v.HostPath.Type)
		}
	case v.ConfigMap != nil:
		w.field(level, "Type", "ConfigMap (a volume populated by a ConfigMap)")
		w.field(level, "Name", v.ConfigMap.Name)
		w.field(level, "Optional", isTrue(v.ConfigMap.Optional))
	case v.Secret != nil:
		w.field(level, "Type", "Secret (a volume populated by a Secret)")
		w.field(level, "SecretName", v.Secret.SecretName)
		w.field(level, "Optional", isTrue(v.Secret.Optional))
	case v.DownwardAPI != nil:
		w.field(level, "Type", "DownwardAPI (a volume populated by information about the pod)")
	case v.Projected != nil:
		w.field(level, "Type", "Projected (a volume that contains injected data from multiple sources)")
	case v.PersistentVolumeClaim != nil:
		w.field(level, "Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)")
		w.field(level, "ClaimName", v.PersistentVolumeClaim.ClaimName)
	default:
		w.field(level, "Type", "another one; see -o yaml")
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
