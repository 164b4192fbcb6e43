package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/store"
)

// describe puts together what Raft, the gossip and the Node objects, by the nodes' IDs, know.
func describe(members []store.Member, alive []gossip.Member, nodes map[string]*corev1.Node, leader string) Status {
	byID := map[string]*MemberStatus{}
	find := func(id string) *MemberStatus {
		if byID[id] == nil {
			m := &MemberStatus{ID: id, Role: RoleJoining}
			if node := nodes[id]; node != nil {
				m.Name, m.Zone = node.Name, node.Labels[corev1.LabelTopologyZone]
				_, m.Witness = node.Labels[witnessLabel]
			}
			byID[id] = m
		}
		return byID[id]
	}
	for _, g := range alive {
		m := find(g.ID)
		m.Alive, m.Name, m.Address, m.Version, m.Witness = true, g.Name, g.Address(), g.Version, g.Witness
		if g.Worker {
			m.Role = RoleWorker
		}
	}
	for _, member := range members {
		m := find(member.ID)
		m.Voter = member.Voter
		switch {
		case member.ID == leader:
			m.Role = RoleLeader
		case member.Voter && m.Witness:
			m.Role = RoleWitness
		case member.Voter:
			m.Role = RoleVoter
		default:
			m.Role = RoleFollower
		}
	}
	var s Status
	for _, m := range byID {
		s.Members = append(s.Members, *m)
	}
	slices.SortFunc(s.Members, func(a, b MemberStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	s.CanLose, s.Summary = canLose(s.Members)
	return s
}

// tell adds which protocol versions the members speak, and of those that are away which covey they ran.
func (s *Status) tell(speakers []speaker) {
	for i := range s.Members {
		m := &s.Members[i]
		if at := slices.IndexFunc(speakers, func(s speaker) bool { return s.ID == m.ID }); at >= 0 {
			m.Version, m.Protocol = speakers[at].Version, &speakers[at].Spoken
		}
	}
}

// canLose says how many of the voters that are alive may be lost before nothing can be written, and puts it in words.
func canLose(members []MemberStatus) (n int, words string) {
	voters, left := 0, 0
	var only, followers []string
	for _, m := range members {
		switch {
		case m.Voter:
			voters++
			only = append(only, m.Name)
			if m.Alive {
				left++
			}
		case m.Role == RoleFollower && m.Alive:
			followers = append(followers, m.Name)
		}
	}
	n = left - (voters/2 + 1)
	switch {
	case voters == 0:
		return n, "It is not known yet which servers vote."
	case n < 0:
		return n, "Nothing can be written: too many of the servers that vote are gone. Start them (with --join, if all are at other addresses now), or if they are gone for good run covey recover."
	case voters == 1 && len(followers) == 0:
		return n, fmt.Sprintf("%s is the only server: if it is lost so is the state, unless there is a backup. With two more servers one may be lost.", only[0])
	case voters == 1:
		return n, fmt.Sprintf("%s votes alone: without it nothing can be written until covey promote is run on another server, which has a copy (%s). "+
			"With a third server or a witness one may be lost.", only[0], strings.Join(followers, ", "))
	case n == 0:
		words = "None of the servers that vote may be lost: without one of them nothing can be written."
	case n == 1:
		words = "One of the servers that vote may be lost."
	default:
		words = fmt.Sprintf("%d of the servers that vote may be lost.", n)
	}
	if len(followers) > 0 {
		words += fmt.Sprintf(" In place of one that is away for a minute another votes (%s).", strings.Join(followers, ", "))
	}
	return n, words
}
