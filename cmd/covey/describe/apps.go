package describe

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Deployment describes a Deployment with the ReplicaSets that it owns, the one of its newest template apart.
func (w *Writer) Deployment(d *appsv1.Deployment, newest *appsv1.ReplicaSet, old []appsv1.ReplicaSet) {
	w.meta(d)
	w.field(0, "CreationTimestamp", timeText(d.CreationTimestamp))
	w.labels(d)
	w.field(0, "Selector", metav1.FormatLabelSelector(d.Spec.Selector))
	s := d.Status
	w.line(0, "Replicas:\t%d desired | %d updated | %d total | %d available | %d unavailable",
		count(d.Spec.Replicas), s.UpdatedReplicas, s.Replicas, s.AvailableReplicas, s.UnavailableReplicas)
	w.field(0, "StrategyType", d.Spec.Strategy.Type)
	w.field(0, "MinReadySeconds", d.Spec.MinReadySeconds)
	if r := d.Spec.Strategy.RollingUpdate; r != nil && r.MaxUnavailable != nil && r.MaxSurge != nil {
		w.line(0, "RollingUpdateStrategy:\t%s max unavailable, %s max surge", r.MaxUnavailable, r.MaxSurge)
	}
	w.line(0, "Pod Template:")
	w.PodTemplate(1, &d.Spec.Template)
	var rows [][]string
	for _, c := range s.Conditions {
		rows = append(rows, []string{string(c.Type), string(c.Status), c.Reason})
	}
	if len(rows) > 0 {
		w.line(0, "Conditions:")
		w.table(1, []string{"Type", "Status", "Reason"}, rows)
	}
	var olds []string
	for i := range old {
		if count(old[i].Spec.Replicas) > 0 || old[i].Status.Replicas > 0 {
			olds = append(olds, replicaSetLine(&old[i]))
		}
	}
	w.field(0, "OldReplicaSets", orNone(strings.Join(olds, ", ")))
	if newest != nil {
		w.field(0, "NewReplicaSet", replicaSetLine(newest))
	} else {
		w.field(0, "NewReplicaSet", none)
	}
}

func replicaSetLine(rs *appsv1.ReplicaSet) string {
	return fmt.Sprintf("%s (%d/%d replicas created)", rs.Name, rs.Status.Replicas, count(rs.Spec.Replicas))
}

// ReplicaSet describes a ReplicaSet with its pods.
func (w *Writer) ReplicaSet(rs *appsv1.ReplicaSet, pods []corev1.Pod) {
	w.meta(rs)
	w.field(0, "Selector", metav1.FormatLabelSelector(rs.Spec.Selector))
	w.labels(rs)
	w.controller(rs)
	w.line(0, "Replicas:\t%d current / %d desired", rs.Status.Replicas, count(rs.Spec.Replicas))
	phases := map[corev1.PodPhase]int{}
	for i := range pods {
		phases[pods[i].Status.Phase]++
	}
	w.line(0, "Pods Status:\t%d Running / %d Waiting / %d Succeeded / %d Failed",
		phases[corev1.PodRunning], phases[corev1.PodPending], phases[corev1.PodSucceeded], phases[corev1.PodFailed])
	w.line(0, "Pod Template:")
	w.PodTemplate(1, &rs.Spec.Template)
	if len(rs.Status.Conditions) == 0 {
		return
	}
	var rows [][]string
	for _, c := range rs.Status.Conditions {
		rows = append(rows, []string{string(c.Type), string(c.Status), c.Reason, c.Message})
	}
	w.line(0, "Conditions:")
	w.table(1, []string{"Type", "Status", "Reason", "Message"}, rows)
}

// PodTemplate describes the pods that a controller makes.
func (w *Writer) PodTemplate(level int, t *corev1.PodTemplateSpec) {
	w.pairs(level, "Labels", "=", t.Labels)
	if len(t.Annotations) > 0 {
		w.annotations(level, t.Annotations)
	}
	w.optional(level, "Service Account", t.Spec.ServiceAccountName)
	w.containersAt(level, "Init Containers", t.Spec.InitContainers, nil)
	w.containersAt(level, "Containers", t.Spec.Containers, nil)
	w.volumes(level, t.Spec.Volumes)
	w.placement(level, &t.Spec)
}

// Split picks the ReplicaSets of d out of all, the one of its newest template first if there is one.
func Split(d *appsv1.Deployment, all []appsv1.ReplicaSet) (newest *appsv1.ReplicaSet, old []appsv1.ReplicaSet) {
	owned := slices.DeleteFunc(slices.Clone(all), func(rs appsv1.ReplicaSet) bool { return !metav1.IsControlledBy(&rs, d) })
	const revision = "deployment.kubernetes.io/revision"
	for i := range owned {
		if r := owned[i].Annotations[revision]; r != "" && r == d.Annotations[revision] {
			newest = &owned[i]
			continue
		}
		old = append(old, owned[i])
	}
	return newest, old
}

func count(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
