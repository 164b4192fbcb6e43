package node

import (
	"cmp"
	"slices"
)

// server is one that holds a replica or is about to, as the rules about votes see it.
type server struct {
	ID     string
	Zone   string // of its Node object; "" where none is labelled
	Member bool   // of Raft
	Voter  bool
	Leader bool
	Alive  bool // as the gossip says
	Heard  bool // has answered the leader lately, too
	Lost   bool // was not alive for so long that another is to vote in its place
	Steady bool // was alive for long enough to be given a vote
	Wanted bool // has a Node object
	Leaves bool // is about to go for good
	// Witness says that it runs no pods, and votes where servers that do are too few.
	Witness bool
}

// memberChange adds a server, changes whether it votes, or removes it.
type memberChange struct {
	ID            string
	Voter, Remove bool
}

// memberChanges says who is to be added, to vote or to go, in that order: every server that is alive holds a replica, and an odd
// number of them votes, at most the wanted one (0: by the number of servers). Two servers have one voter: the loss of the other one then
// stops nothing. held says that servers keep their votes which are one too many, because most of the others do not answer.
func memberChanges(servers []server, wanted int) (changes []memberChange, held bool) {
	var last []memberChange
	var stay []server
	for _, s := range servers {
		switch {
		case s.Member && !s.Alive && !s.Wanted:
			changes = append(changes, memberChange{ID: s.ID, Remove: true})
			continue
		case s.Leaves && s.Member && !s.Leader:
			last = append(last, memberChange{ID: s.ID, Remove: true})
			continue
		case s.Leaves:
			continue
		case !s.Member && s.Alive:
			changes = append(changes, memberChange{ID: s.ID})
		}
		stay = append(stay, s)
	}
	if wanted == 0 {
		wanted = usualVoters(len(stay))
	}
	votes := chooseVoters(stay, wanted)
	for _, s := range votes {
		if !s.Voter {
			changes = append(changes, memberChange{ID: s.ID, Voter: true})
		}
	}
	for _, s := range stay {
		switch {
		case !s.Voter || slices.Contains(votes, s) || len(votes) == 0:
		case !decide(votes):
			held = true
		default:
			changes = append(changes, memberChange{ID: s.ID})
		}
	}
	return append(changes, last...), held
}

// decide reports whether so many of the voters are heard that they are a majority.
func decide(voters []server) bool {
	heard := 0
	for _, s := range voters {
		if s.Heard {
			heard++
		}
	}
	return heard > len(voters)/2
}

// usualVoters is how many of so many servers vote.
func usualVoters(servers int) int {
	switch {
	case servers >= 7:
		return 5
	case servers >= 3:
		return 3
	}
	return 1
}

// chooseVoters picks who is to vote: those who do already before others, unless they are lost or their zone has more voters than
// another could have. The number is odd: one more would only be one more that may not be lost.
func chooseVoters(servers []server, wanted int) []server {
	var left []server
	for _, s := range servers {
		if s.Voter || s.Alive && s.Steady {
			left = append(left, s)
		}
	}
	var chosen []server
	inZone := map[string]int{}
	for len(chosen) < wanted && len(left) > 0 {
		best := slices.MinFunc(left, func(a, b server) int {
			return cmp.Or(
				trueLast(a.Lost, b.Lost),
				trueLast(!a.Leader, !b.Leader),
				cmp.Compare(inZone[a.Zone], inZone[b.Zone]),
				trueLast(a.Witness, b.Witness),
				trueLast(!a.Voter, !b.Voter),
				cmp.Compare(a.ID, b.ID),
			)
		})
		chosen = append(chosen, best)
		inZone[best.Zone]++
		left = slices.DeleteFunc(left, func(s server) bool { return s.ID == best.ID })
	}
	if len(chosen) > 0 && len(chosen)%2 == 0 {
		chosen = chosen[:len(chosen)-1]
	}
	return chosen
}

func trueLast(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
