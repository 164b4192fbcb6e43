package agent

import corev1 "k8s.io/api/core/v1"

// Onto is the status that a pod gets by the update: what the agent says of it, and for the rest what is stored. Others may have
// written that after the agent saw the pod, as when its node was cut off for a while.
func (up *PodStatus) Onto(stored *corev1.PodStatus) corev1.PodStatus {
	s, said := *stored.DeepCopy(), up.Status.DeepCopy()
	s.HostIP, s.HostIPs, s.PodIP, s.PodIPs, s.StartTime = said.HostIP, said.HostIPs, said.PodIP, said.PodIPs, said.StartTime
	s.InitContainerStatuses, s.ContainerStatuses = said.InitContainerStatuses, said.ContainerStatuses
	s.EphemeralContainerStatuses = said.EphemeralContainerStatuses
	if !final(s.Phase) {
		s.Phase, s.Reason, s.Message = said.Phase, said.Reason, said.Message
	}
	for _, c := range said.Conditions {
		if isOwn(&c) || c.Type == corev1.PodScheduled && !has(&s, c.Type) {
			setCondition(&s, c)
		}
	}
	return s
}

// isOwn says whether the agent wrote a condition: others tell of disruptions, too.
func isOwn(c *corev1.PodCondition) bool {
	return ownConditions[c.Type] || c.Type == corev1.DisruptionTarget && c.Reason == corev1.PodReasonTerminationByKubelet
}
