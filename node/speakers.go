package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/store"
	"covey.dev/covey/store/protocol"
)

// speaker is a node as the agreement on a protocol version sees it.
type speaker struct {
	ID, Name string
	Version  string // of covey
	Alive    bool
	Spoken   protocol.Range
	Gone     bool // it is a member of Raft that has no Node object and is not there: it is about to be taken out
}

func (n *node) speakers() []speaker {
	return speakersOf(n.store.Members(), n.gossip.Members(), store.List[*corev1.Node](n.store.Snapshot(), "nodes", ""))
}

// speakersOf are the nodes of the cluster, with what they say themselves, or what their Node objects say of those that are away. One that
// leaves counts until it is taken out; one of which nothing is known speaks the first version only.
func speakersOf(members []store.Member, alive []gossip.Member, nodes func(func(*corev1.Node) bool)) []speaker {
	byID := map[string]speaker{}
	for _, m := range members {
		byID[m.ID] = speaker{ID: m.ID, Name: m.ID, Spoken: protocol.First, Gone: true}
	}
	for node := range nodes {
		id := node.Annotations[nodeIDAnnotation]
		if id == "" {
			continue // no covey has ever run there
		}
		spoken, _ := protocol.Parse(node.Annotations[protocolAnnotation])
		byID[id] = speaker{ID: id, Name: node.Name, Version: coveyVersion(node), Spoken: spoken.OrFirst()}
	}
	for _, m := range alive {
		if _, stays := byID[m.ID]; m.Leaving && !stays {
			continue
		}
		byID[m.ID] = speaker{ID: m.ID, Name: m.Name, Version: m.Version, Alive: true, Spoken: m.Protocol}
	}
	var all []speaker
	for _, s := range byID {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b speaker) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all
}

// coveyVersion is in the Node object behind that of the API.
func coveyVersion(node *corev1.Node) string {
	_, version, _ := strings.Cut(node.Status.NodeInfo.KubeletVersion, "+covey-")
	if version == "" {
		return ""
	}
	return "v" + version
}

func spokenBy(nodes []speaker) []protocol.Range {
	spoken := make([]protocol.Range, len(nodes))
	for i, s := range nodes {
		spoken[i] = s.Spoken
	}
	return spoken
}

// ProtocolStatus is how far the nodes are with a newer protocol version.
type ProtocolStatus struct {
	// Agreed is what all nodes speak, and Newest what any of them could.
	Agreed int `json:"agreed"`
	Newest int `json:"newest"`
	// HeldBackBy are the nodes that do not speak Newest: the upgrade is finished when they do, or are removed.
	HeldBackBy []string `json:"heldBackBy,omitempty"`
	// Summary says that in a sentence or two.
	Summary string `json:"summary"`
}

func protocolStatus(agreed int, nodes []speaker) ProtocolStatus {
	s := ProtocolStatus{Agreed: agreed, Newest: agreed}
	for _, node := range nodes {
		s.Newest = max(s.Newest, node.Spoken.Newest)
	}
	var words []string
	for _, node := range nodes {
		if node.Spoken.Newest == s.Newest {
			continue
		}
		s.HeldBackBy = append(s.HeldBackBy, node.Name)
		about := cmp.Or(node.Version, "of a version that is not known")
		if !node.Alive {
			about += ", not there"
		}
		words = append(words, fmt.Sprintf("%s (%s)", node.Name, about))
	}
	s.Summary = fmt.Sprintf("The nodes speak protocol version %d.", agreed)
	switch {
	case len(words) > 0:
		s.Summary += fmt.Sprintf(" An upgrade to %d is not finished: it waits for a newer covey on %s. A node that is gone for good is taken out with covey node remove.",
			s.Newest, strings.Join(words, ", "))
	case s.Newest > agreed:
		s.Summary += fmt.Sprintf(" All could speak %d, which the leader is about to have them do.", s.Newest)
	}
	return s
}
