package kind

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
)

// SettlePriority gives a new pod the priority and the preemption policy of its class: the one it names, which find looks up
// (nil when there is none), else the cluster's default, which may be nil too. Its errors are those of Kubernetes' admission.
func SettlePriority(pod *corev1.Pod, find func(name string) *schedulingv1.PriorityClass, byDefault func() *schedulingv1.PriorityClass) error {
	var priority int32
	var policy *corev1.PreemptionPolicy
	var class *schedulingv1.PriorityClass
	if name := pod.Spec.PriorityClassName; name == "" {
		class = byDefault()
	} else if class = find(name); class == nil {
		return fmt.Errorf("no PriorityClass with name %v was found", name)
	}
	if class != nil {
		pod.Spec.PriorityClassName, priority, policy = class.Name, class.Value, class.PreemptionPolicy
	}
	if asked := pod.Spec.Priority; asked != nil && *asked != priority {
		return fmt.Errorf("the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *asked, priority)
	}
	pod.Spec.Priority = &priority
	if policy == nil {
		return nil
	}
	if asked := pod.Spec.PreemptionPolicy; asked != nil && *asked != *policy {
		return fmt.Errorf("the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *asked, *policy)
	}
	keep := *policy
	pod.Spec.PreemptionPolicy = &keep
	return nil
}
