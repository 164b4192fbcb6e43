package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/scheduler/placement"
	"covey.dev/covey/store"
)

const schedulerSource = "default-scheduler"

// place binds the queued pods to nodes, the more important and the older first, each seeing what the ones before it
// took. Pods that find none are told why, and wait until a node changes or a pod ends.
func (r *round) place() {
	refused := map[attempt]string{} // what does not fit now does not fit later in this round
	held := r.nominees()
	defer held.release()
	for _, pod := range r.queuedPods() {
		key := store.Key{Resource: controller.Pods, Namespace: pod.Namespace, Name: pod.Name}
		if r.isFull() {
			r.queue.add(placements, key)
			continue
		}
		demand := r.index.facts[key].pod.demand
		try := attempt{demand.Shape(), priority(pod), pod.Spec.PreemptionPolicy != nil && *pod.Spec.PreemptionPolicy == corev1.PreemptNever}
		held.hold(try.priority)
		nominated := held.drop(key)
		reason, known := refused[try]
		if known && nominated == "" {
			r.refuse(key, pod, "", reason)
			continue
		}
		if node, ok := r.find(demand, nominated); ok {
			r.bind(key, pod, node)
			continue
		}
		if nominated != "" && r.awaitsRoom(pod) {
			held.add(nominee{key, nominated, try.priority, demand})
			continue
		}
		reason = r.index.cluster.Explain(demand)
		room, why := r.preempt(pod, demand)
		switch {
		case room != nil:
			r.refuse(key, pod, room.Node, fmt.Sprintf("%s preemption: found a potential placement for pod on node %s, preempting %d victims",
				reason, room.Node, len(room.Victims)))
			r.makeRoom(key, pod, demand, room, held)
			continue
		case reason != placement.NoNodes:
			reason += " preemption: " + why
		}
		refused[try] = reason
		r.refuse(key, pod, "", reason)
	}
}

// attempt is what makes pods equal to the placement.
type attempt struct {
	shape    string
	priority int32
	never    bool // preempts
}

// find prefers the node on which room was made for the pod.
func (r *round) find(demand *placement.Demand, nominated string) (node string, ok bool) {
	if nominated != "" && r.index.cluster.Fits(nominated, demand) {
		return nominated, true
	}
	return r.index.cluster.Place(demand)
}

// queuedPods takes the pods to place from the queue. The state that is decided on may be ahead of the index: a pod that
// somebody bound, deleted or replaced since is passed over, and the events of that say what is to be done.
func (r *round) queuedPods() []*corev1.Pod {
	keys := keys{}
	for w, ok := r.queue.take(placements); ok; w, ok = r.queue.take(placements) {
		r.taken = append(r.taken, w)
		if w.key == everyPod {
			for key := range r.index.waiting {
				keys[key] = struct{}{}
			}
		} else if f := r.index.facts[w.key]; f != nil && f.pod.waits {
			keys[w.key] = struct{}{}
		}
	}
	var pods []*corev1.Pod
	for key := range keys {
		if pod, ok := get[*corev1.Pod](r.view, key); ok && waits(pod) && pod.UID == r.index.facts[key].uid {
			pods = append(pods, pod)
		}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(
			cmp.Compare(priority(b), priority(a)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			strings.Compare(a.Namespace, b.Namespace),
			strings.Compare(a.Name, b.Name),
		)
	})
	return pods
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

func (r *round) bind(key store.Key, pod *corev1.Pod, node string) {
	r.seen.Scheduled++
	pod = pod.DeepCopy()
	pod.Spec.NodeName, pod.Status.NominatedNodeName = node, ""
	r.setScheduled(pod, corev1.ConditionTrue, "", "")
	r.change(controller.Update, key, pod)
	r.tell(pod, corev1.EventTypeNormal, "Scheduled", "Successfully assigned "+pod.Namespace+"/"+pod.Name+" to "+node)
}

// refuse says in the pod why it waits, and on which node room is made for it; nothing is written when it says so already.
func (r *round) refuse(key store.Key, pod *corev1.Pod, nominated, message string) {
	r.seen.Unschedulable++
	told := false
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		told = told || c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable && c.Message == message
	}
	if told && pod.Status.NominatedNodeName == nominated {
		return
	}
	pod = pod.DeepCopy()
	pod.Status.NominatedNodeName = nominated
	r.setScheduled(pod, corev1.ConditionFalse, corev1.PodReasonUnschedulable, message)
	r.change(controller.Update, key, pod)
	r.tell(pod, corev1.EventTypeWarning, "FailedScheduling", message)
}

// setScheduled sets the condition PodScheduled; its transition time changes with the status only.
func (r *round) setScheduled(pod *corev1.Pod, status corev1.ConditionStatus, reason, message string) {
	c := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: status, Reason: reason, Message: message,
		ObservedGeneration: pod.Generation, LastTransitionTime: r.stamp(),
	}
	for i := range pod.Status.Conditions {
		was := &pod.Status.Conditions[i]
		if was.Type != c.Type {
			continue
		}
		if was.Status == status {
			c.LastTransitionTime = was.LastTransitionTime
		}
		*was = c
		return
	}
	pod.Status.Conditions = append(pod.Status.Conditions, c)
}

func (r *round) stamp() metav1.Time { return metav1.NewTime(r.env.Now.UTC()).Rfc3339Copy() }

func (r *round) tell(pod *corev1.Pod, kind, reason, message string) {
	r.record(controller.Event{
		Regarding: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID,
			ResourceVersion: pod.ResourceVersion,
		},
		Source: schedulerSource, Type: kind, Reason: reason, Message: message,
	})
}
