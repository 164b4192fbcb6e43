package eviction

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/klog/v2"
)

// systemCritical is the least priority of pods that a node cannot do without.
const systemCritical = 2_000_000_000

// Critical pods are admitted under pressure and never evicted.
func Critical(pod *corev1.Pod) bool { return priority(pod) >= systemCritical }

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

// Candidate is a pod that may have to go.
type Candidate struct {
	Pod   *corev1.Pod
	Usage *Usage // nil when it could not be measured
}

// Rank orders pods by who has to go first when something runs out: those that use more than they requested before those that
// do not, then those of lower priority, then those that use more above their request. Critical pods are left out.
func Rank(starved Signal, pods []Candidate) []Candidate {
	list := slices.DeleteFunc(slices.Clone(pods), func(c Candidate) bool { return Critical(c.Pod) })
	res := starved.Resource()
	slices.SortStableFunc(list, func(a, b Candidate) int {
		return cmp.Or(
			first(a.Usage == nil, b.Usage == nil),
			first(res != "pids" && a.above(res) > 0, res != "pids" && b.above(res) > 0),
			cmp.Compare(priority(a.Pod), priority(b.Pod)),
			cmp.Compare(b.above(res), a.above(res)),
		)
	})
	return list
}

// first orders what holds before what does not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// above is how much more the pod uses than it requested.
func (c Candidate) above(res corev1.ResourceName) int64 {
	if c.Usage == nil {
		return 0
	}
	requested := resourcehelper.PodRequests(c.Pod, resourcehelper.PodResourcesOptions{})[res]
	return c.Usage.of(res) - requested.Value()
}

func (u *Usage) of(res corev1.ResourceName) int64 {
	switch res {
	case corev1.ResourceMemory:
		return u.Memory
	case corev1.ResourceEphemeralStorage:
		return u.disk().Bytes
	case "inodes":
		return u.disk().Inodes
	}
	return u.Processes
}

// Message says why a pod is evicted: what ran out, and which of its containers use more of it than they requested.
func Message(t Threshold, o Observation, c Candidate) string {
	res := t.Signal.Resource()
	message := fmt.Sprintf("The node was low on resource: %s. ", res)
	if level, ok := o[t.Signal]; ok {
		message += fmt.Sprintf("Threshold quantity: %s, available: %s. ", quantity(t.quantity(level.Capacity)), quantity(level.Available))
	}
	if c.Usage == nil {
		return message
	}
	for _, name := range slices.Sorted(maps.Keys(c.Usage.Containers)) {
		use := c.Usage.Containers[name]
		used := map[corev1.ResourceName]int64{corev1.ResourceMemory: use.Memory, corev1.ResourceEphemeralStorage: use.disk().Bytes}[res]
		requested := request(c.Pod, name, res)
		if used > requested.Value() {
			message += fmt.Sprintf("Container %s was using %s, request is %s, has larger consumption of %s. ", name, quantity(used), requested.String(), res)
		}
	}
	return message
}

func quantity(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }

func request(pod *corev1.Pod, container string, res corev1.ResourceName) resource.Quantity {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == container {
				return list[i].Resources.Requests[res]
			}
		}
	}
	return resource.Quantity{}
}

// Refuse says why a new pod is not admitted under these node conditions; empty when it is.
func Refuse(pod *corev1.Pod, conditions []corev1.NodeConditionType) string {
	if len(conditions) == 0 || Critical(pod) {
		return ""
	}
	if len(conditions) == 1 && conditions[0] == corev1.NodeMemoryPressure {
		if pod.Status.QOSClass != corev1.PodQOSBestEffort || tolerates(pod, corev1.TaintNodeMemoryPressure) {
			return ""
		}
	}
	return fmt.Sprintf("The node had condition: %v. ", conditions)
}

func tolerates(pod *corev1.Pod, key string) bool {
	taint := corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}
	for i := range pod.Spec.Tolerations {
		if pod.Spec.Tolerations[i].ToleratesTaint(klog.Logger{}, &taint, false) {
			return true
		}
	}
	return false
}
