package node

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/scheduler/controller"
)

// unknownReason marks the Ready condition of a node that is lost, as in Kubernetes.
const unknownReason = "NodeStatusUnknown"

// readiness is a node's Ready condition, -1 if it has none yet.
func readiness(node *corev1.Node) int {
	return slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
}

func isLost(node *corev1.Node) bool {
	i := readiness(node)
	return i >= 0 && node.Status.Conditions[i].Reason == unknownReason
}

// withLiveness returns node with a Ready condition that says whether it is alive; node itself when it does already. What the node
// says of itself stays while it is alive.
func withLiveness(node *corev1.Node, alive bool, now metav1.Time) *corev1.Node {
	i := readiness(node)
	if i < 0 || isLost(node) == !alive {
		return node
	}
	next := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: unknownReason, Message: "neither the other nodes nor the leader hear from it"}
	if alive {
		next.Status, next.Reason, next.Message = corev1.ConditionTrue, "KubeletReady", "the other nodes hear from it again"
	}
	next.LastHeartbeatTime, next.LastTransitionTime = now, now
	node = node.DeepCopy()
	node.Status.Conditions[i] = next
	return node
}

// readyTaints are the keys of the taints that go with a Ready condition.
var readyTaints = map[corev1.ConditionStatus]string{
	corev1.ConditionFalse: corev1.TaintNodeNotReady, corev1.ConditionUnknown: corev1.TaintNodeUnreachable,
}

// withTaints returns node with the taints that go with its Ready condition, and without those that do not; node itself when it is so.
func withTaints(node *corev1.Node, now metav1.Time) *corev1.Node {
	want := ""
	if i := readiness(node); i >= 0 {
		want = readyTaints[node.Status.Conditions[i].Status]
	}
	var taints []corev1.Taint
	has := map[corev1.TaintEffect]bool{}
	for _, t := range node.Spec.Taints {
		mine := t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
		switch {
		case t.Key != corev1.TaintNodeNotReady && t.Key != corev1.TaintNodeUnreachable || !mine:
		case t.Key != want:
			continue
		default:
			has[t.Effect] = true
		}
		taints = append(taints, t)
	}
	for _, effect := range []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute} {
		if want != "" && !has[effect] {
			taints = append(taints, corev1.Taint{Key: want, Effect: effect, TimeAdded: &now})
		}
	}
	if len(taints) == len(node.Spec.Taints) && (want == "" || len(has) == 2) {
		return node
	}
	node = node.DeepCopy()
	node.Spec.Taints = taints
	return node
}

// withRole returns node without what marks a witness, if it was one and is a server now; node itself when it is so.
func withRole(node *corev1.Node) *corev1.Node {
	if _, marked := node.Labels[witnessLabel]; !marked || node.Annotations[roleAnnotation] != RoleServer {
		return node
	}
	node = node.DeepCopy()
	delete(node.Labels, witnessLabel)
	node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == witnessLabel })
	return node
}

// isUnreachable reports whether a node has the taint of one that is lost. It has it until the leader takes it for alive again, also where
// the node itself says before that it is ready.
func isUnreachable(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeUnreachable && t.Effect == corev1.TaintEffectNoExecute
	})
}

// lostEvent tells that a node was lost, or is back, with the reasons that Kubernetes has; nil where neither is so.
func lostEvent(was, is *corev1.Node, at time.Time) *corev1.Event {
	reason, message := "NodeNotReady", "neither the other nodes nor the leader hear from it"
	switch lost := isUnreachable(is); {
	case lost == isUnreachable(was):
		return nil
	case !lost:
		reason, message = "NodeReady", "the other nodes hear from it again"
	}
	event := controller.Event{
		// A node's name stands for its UID, as in Kubernetes.
		Regarding: corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: is.Name, UID: types.UID(is.Name)},
		Source:    "node-controller", Type: corev1.EventTypeNormal, Reason: reason, Message: message,
	}
	return event.Object(at, uuid.NewUUID())
}
