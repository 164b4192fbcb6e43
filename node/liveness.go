package node

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/store"
)

const (
	// unknownReason marks the Ready condition of a node that the gossip has lost, as in Kubernetes.
	unknownReason = "NodeStatusUnknown"
	// newsTime is how long a new leader waits for the gossip to know everyone before it takes a node for dead.
	newsTime = 5 * time.Second
)

// keepReadiness writes into the nodes' Ready conditions what the gossip says of them.
func (n *node) keepReadiness(ctx context.Context) error {
	if !sleep(ctx, newsTime) {
		return nil
	}
	for {
		changed := n.gossip.Changed()
		var again <-chan time.Time
		_, err := n.store.Update(ctx, func(tx *store.Tx) error { n.judge(tx); return nil })
		if errors.Is(err, store.ErrNotLeader) {
			return err
		} else if err != nil && ctx.Err() == nil {
			n.log.Warn("the readiness of the nodes was not written", "error", err)
			again = time.After(memberRetry)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *node) judge(tx *store.Tx) {
	alive := map[string]bool{}
	for _, m := range n.gossip.Members() {
		alive[m.Name] = true
	}
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	for rec := range tx.Snapshot().List("nodes", "") {
		was := rec.Object().(*corev1.Node)
		if is := withLiveness(was, alive[was.Name], now); is != nil {
			n.log.Info("a node's readiness changes", "node", was.Name, "alive", alive[was.Name])
			tx.Put(rec.Key(), is, rec.Revision())
		}
	}
}

// withLiveness returns node with a Ready condition that says whether it is alive; nil when it does already. What the node
// says of itself stays while it is alive.
func withLiveness(node *corev1.Node, alive bool, now metav1.Time) *corev1.Node {
	for i, c := range node.Status.Conditions {
		lost := c.Reason == unknownReason
		if c.Type != corev1.NodeReady || lost == !alive {
			continue
		}
		next := corev1.NodeCondition{Type: c.Type, Status: corev1.ConditionUnknown, Reason: unknownReason, Message: "the other nodes do not hear from it"}
		if alive {
			next.Status, next.Reason, next.Message = corev1.ConditionTrue, "KubeletReady", "the other nodes hear from it again"
		}
		next.LastHeartbeatTime, next.LastTransitionTime = now, now
		node = node.DeepCopy()
		node.Status.Conditions[i] = next
		return node
	}
	return nil
}
