package controller

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// rankForDeletion puts the pods that are missed least first, in Kubernetes' order: on no node, pending, not ready, of
// lower deletion cost, sharing a node with more of the same deployment, ready for a shorter time, restarted more often,
// younger. Kubernetes takes times of the same order of magnitude for equal and then goes by chance; here they count.
func rankForDeletion(pods []*corev1.Pod, siblings func() map[string]int) {
	sameNode := map[string]int{}
	if siblings != nil {
		maps.Copy(sameNode, siblings())
	}
	for _, pod := range pods {
		sameNode[pod.Spec.NodeName]++
	}
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		aSince, aReady := readySince(a)
		bSince, bReady := readySince(b)
		order := cmp.Or(
			falseFirst(a.Spec.NodeName != "", b.Spec.NodeName != ""),
			cmp.Compare(phaseRank(a), phaseRank(b)),
			falseFirst(aReady, bReady),
			cmp.Compare(deletionCost(a), deletionCost(b)),
			cmp.Compare(sameNode[b.Spec.NodeName], sameNode[a.Spec.NodeName]),
		)
		if order == 0 && aReady {
			order = bSince.Compare(aSince)
		}
		return cmp.Or(order,
			cmp.Compare(maxRestarts(b.Status.ContainerStatuses), maxRestarts(a.Status.ContainerStatuses)),
			cmp.Compare(maxRestarts(b.Status.InitContainerStatuses), maxRestarts(a.Status.InitContainerStatuses)),
			b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
			cmp.Compare(a.UID, b.UID),
		)
	})
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func phaseRank(pod *corev1.Pod) int {
	switch pod.Status.Phase {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	default:
		return 0
	}
}

func deletionCost(pod *corev1.Pod) int64 {
	n, _ := strconv.ParseInt(pod.Annotations[corev1.PodDeletionCost], 10, 32) // none or nonsense costs 0
	return n
}

func maxRestarts(containers []corev1.ContainerStatus) int32 {
	n := int32(0)
	for i := range containers {
		n = max(n, containers[i].RestartCount)
	}
	return n
}
