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
	for id, node := range nodes {
		if id != "" && byID[id] == nil {
			find(id).Role = cmp.Or(node.Annotations[roleAnnotation], RoleServer)
		}
	}
	var s Status
	for _, m := range byID {
		s.Members = append(s.Members, *m)
	}
	slices.SortFunc(s.Members, func(a, b MemberStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
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

// canLose says how many of the voters that answer may be lost before nothing can be written, and puts it in words for the node that was asked.
func canLose(members []MemberStatus, asked string) (n int, words string) {
	voters, votes, led := 0, false, false
	var only, missing, followers []string
	for _, m := range members {
		answers := m.Alive && !m.Silent
		switch {
		case m.Voter:
			voters++
			votes = votes || m.Name == asked
			led = led || m.Role == RoleLeader && answers && m.Name != asked
			only = append(only, m.Name)
			if !answers {
				missing = append(missing, cmp.Or(m.Name, m.ID))
			}
		case m.Role == RoleFollower && answers:
			followers = append(followers, m.Name)
		}
	}
	n = voters - len(missing) - (voters/2 + 1)
	if led {
		n = max(n, 0) // another that leads has a majority, whoever of it this one cannot reach itself
	}
	switch {
	case voters == 0:
		return n, "It is not known yet which servers vote."
	case n < 0:
		return n, fmt.Sprintf("Nothing can be written as far as %s sees: %s. Start what is missing (with --join, if all are at other addresses now), or connect %s with it again; "+
			"if it is gone for good run %s on %s.", asked, doNotAnswer(missing), asked, recovery(votes, voters), asked)
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
