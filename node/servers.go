package node

import (
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/store"
)

// isServer looks at the certificate of a node that says to be a server before it becomes a member: one that only says so would
// be handed nothing, but would count as a member.
func (n *node) isServer(ctx context.Context, id string, members []store.Member) bool {
	if slices.ContainsFunc(members, func(m store.Member) bool { return m.ID == id }) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	conn, err := n.links.DialServer(ctx, id, raftProtocol)
	if err != nil {
		n.log.Warn("a node is not made a member: it has not shown a server's certificate", "id", id, "error", err)
		return false
	}
	_ = conn.Close()
	return true
}

// mayLeave says whether the gossip is to be believed that a server leaves: of this node itself, and of one that is no member. Anyone with the
// gossip's key may have said so, and a member asks the leader itself to be taken out (Dismiss), whoever leads.
func mayLeave(s *server, self string) bool { return s.ID == self || !s.Member }

// servers are the members of Raft and those that are to be, as this node, which leads, sees them. doubtful says that there may be
// another one, which could not be asked. The caller holds members.mu.
func (n *node) servers(ctx context.Context) (servers []server, doubtful bool) {
	nodes := map[string]*corev1.Node{}
	for node := range store.List[*corev1.Node](n.store.Snapshot(), "nodes", "") {
		nodes[node.Annotations[nodeIDAnnotation]] = node
	}
	self := n.identity.NodeID()
	at := map[string]int{}
	find := func(id string) *server {
		i, ok := at[id]
		if !ok {
			i = len(servers)
			at[id] = i
			s := server{ID: id, Leader: id == self, Leaves: n.members.leaving[id]}
			if node := nodes[id]; node != nil {
				s.Wanted, s.Zone = true, node.Labels[corev1.LabelTopologyZone]
			}
			servers = append(servers, s)
		}
		return &servers[i]
	}
	members := n.store.Members()
	for _, m := range members {
		s := find(m.ID)
		s.Member, s.Voter = true, m.Voter
	}
	for _, m := range n.gossip.Members() {
		switch {
		case !n.serves(m):
		case n.isServer(ctx, m.ID, members):
			s := find(m.ID)
			s.Alive = true
			s.Leaves = s.Leaves || m.Leaving && mayLeave(s, self)
			s.Witness = m.Witness
		default:
			doubtful = true
		}
	}
	// One that has left may come back.
	maps.DeleteFunc(n.members.leaving, func(id string, _ bool) bool { _, there := at[id]; return !there })
	for i := range servers {
		s := &servers[i]
		s.Heard = s.Alive && (s.Leader || time.Since(n.store.Contact(s.ID)) < contactTime)
		s.Leaves = s.Leaves || !s.Wanted && n.gone.has(s.ID)
	}
	return servers, doubtful
}
