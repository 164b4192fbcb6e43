package main

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// choose returns the pods that are to go. Those that would be lost, or be back at once, need a flag; the words are kubectl's.
func (o *drainOptions) choose(s *session, pods []corev1.Pod) ([]corev1.Pod, error) {
	var chosen []corev1.Pod
	var refused, warned reasons
	for i := range pods {
		pod := &pods[i]
		owner := metav1.GetControllerOf(pod)
		finished := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		switch {
		case o.skipGoingSeconds > 0 && pod.DeletionTimestamp != nil && time.Since(pod.DeletionTimestamp.Time) > time.Duration(o.skipGoingSeconds)*time.Second:
			continue
		case owner != nil && owner.Kind == "DaemonSet" && !finished:
			if o.ignoreDaemonSets {
				warned.add("ignoring DaemonSet-managed Pods", pod)
			} else {
				refused.add("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)", pod)
			}
			continue
		case !finished && hasEmptyDir(pod) && !o.deleteEmptyDir:
			refused.add("cannot delete Pods with local storage (use --delete-emptydir-data to override)", pod)
			continue
		case !finished && owner == nil && !o.force:
			refused.add("cannot delete Pods that declare no controller (use --force to override)", pod)
			continue
		case !finished && owner == nil:
			warned.add("deleting Pods that declare no controller", pod)
		}
		chosen = append(chosen, *pod)
	}
	if len(refused.order) > 0 {
		return nil, fmt.Errorf("%s", refused.String())
	}
	if len(warned.order) > 0 {
		s.note("Warning: %s", warned.String())
	}
	return chosen, nil
}

func hasEmptyDir(pod *corev1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if v.EmptyDir != nil {
			return true
		}
	}
	return false
}

// reasons are pods by what is to be said of them.
type reasons struct {
	order []string
	pods  map[string][]string
}

func (r *reasons) add(reason string, pod *corev1.Pod) {
	if r.pods == nil {
		r.pods = map[string][]string{}
	}
	if r.pods[reason] == nil {
		r.order = append(r.order, reason)
	}
	r.pods[reason] = append(r.pods[reason], pod.Namespace+"/"+pod.Name)
}

func (r *reasons) String() string {
	parts := make([]string, len(r.order))
	for i, reason := range r.order {
		parts[i] = reason + ": " + strings.Join(r.pods[reason], ", ")
	}
	return strings.Join(parts, "; ")
}
