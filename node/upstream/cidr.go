package upstream

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

// clusterBits is the size of the network that all pod CIDRs are taken from: the one around the first node's.
const clusterBits = 16

// PodCIDRs is the table of the pod CIDRs that are given out: an object for each, so that two nodes which register at the same time
// cannot be given the same: the second one's transaction meets the first one's. What it holds is the node's name.
const PodCIDRs = "podcidrs.covey.dev"

// choosePodCIDR leaves a new node the pod CIDR that it proposes, unless another node has it; then it gets the first of the same
// size that is free. What a node proposes may be a lie: all others set a route to it.
func choosePodCIDR(tx *store.Tx, node *corev1.Node) error {
	proposed, err := netip.ParsePrefix(node.Spec.PodCIDR)
	if err == nil {
		err = agent.CheckPodCIDR(proposed)
	}
	if err != nil {
		return fmt.Errorf("node %s: spec.podCIDR: %w", node.Name, err)
	}
	if reserve(tx, proposed, node) {
		return nil
	}
	around := netip.PrefixFrom(proposed.Addr(), clusterBits).Masked()
	for next := around.Addr(); around.Contains(next); next = following(next, proposed.Bits()) {
		if reserve(tx, netip.PrefixFrom(next, proposed.Bits()), node) {
			return nil
		}
	}
	return fmt.Errorf("node %s: every /%d of %s belongs to another node", node.Name, proposed.Bits(), around)
}

// reserve gives cidr to the node if it is free or was given to a node that is no more. Nodes may have CIDRs of several sizes:
// what is reserved is each /24 of it.
func reserve(tx *store.Tx, cidr netip.Prefix, node *corev1.Node) bool {
	for other := range store.List[*corev1.Node](tx.Snapshot(), "nodes", "") {
		theirs, err := netip.ParsePrefix(other.Spec.PodCIDR)
		if err == nil && theirs.Overlaps(cidr) && other.Name != node.Name {
			return false
		}
	}
	parts := parts(cidr)
	for _, part := range parts {
		if rec, taken := tx.Get(part); taken {
			owner := rec.Object().(*corev1.ConfigMap).Data["node"]
			if _, there := tx.Get(store.Key{Resource: "nodes", Name: owner}); there && owner != node.Name {
				return false
			}
		}
	}
	for _, part := range parts {
		tx.Set(part, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: part.Name}, Data: map[string]string{"node": node.Name}})
	}
	node.Spec.PodCIDR, node.Spec.PodCIDRs = cidr.String(), []string{cidr.String()}
	return true
}

// parts are the keys of the reservations of each /24 of cidr.
func parts(cidr netip.Prefix) (keys []store.Key) {
	const size = 24
	key := func(p netip.Prefix) store.Key {
		return store.Key{Resource: PodCIDRs, Name: strings.ReplaceAll(p.String(), "/", "-")}
	}
	if cidr.Bits() >= size {
		return []store.Key{key(cidr)}
	}
	for next := cidr.Masked().Addr(); cidr.Contains(next); next = following(next, size) {
		keys = append(keys, key(netip.PrefixFrom(next, size)))
	}
	return keys
}

// following is the first IPv4 address behind the network of that size at addr.
func following(addr netip.Addr, bits int) netip.Addr {
	b := addr.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n += 1 << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// FollowNodes implements agent.Upstream.
func (u *Upstream) FollowNodes(ctx context.Context, update func([]*corev1.Node)) error {
	return keepUp(ctx, "the nodes", func() error { return u.followNodes(ctx, update) })
}

func (u *Upstream) followNodes(ctx context.Context, update func([]*corev1.Node)) error {
	snap := u.source.Snapshot()
	watch, err := u.source.Watch(snap.Revision(), "nodes")
	if err != nil {
		return err
	}
	for {
		var nodes []*corev1.Node
		for node := range store.List[*corev1.Node](snap, "nodes", "") {
			nodes = append(nodes, node)
		}
		update(nodes)
		if _, err := watch.Next(ctx); err != nil {
			return err
		}
		snap = u.source.Snapshot()
	}
}
