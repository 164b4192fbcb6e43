package node

import "time"

const (
	// replaceAfter is how long a voter is away before another server votes in its place.
	replaceAfter = time.Minute
	// steadyAfter is how long a server that was away must have been back before it is given a vote.
	steadyAfter = 10 * time.Second
)

// presence remembers since when servers are away, and since when those are back that were.
type presence struct{ away, back map[string]time.Time }

func newPresence() *presence {
	return &presence{away: map[string]time.Time{}, back: map[string]time.Time{}}
}

// judge sets in each server whether it is lost or steady, and returns after what time that changes if nothing else does; 0 is never.
func (p *presence) judge(servers []server, now time.Time) (wait time.Duration) {
	soonest := func(left time.Duration) {
		if wait == 0 || left < wait {
			wait = left
		}
	}
	known := map[string]bool{}
	for i := range servers {
		s := &servers[i]
		known[s.ID] = true
		s.Lost, s.Steady = false, false
		if !s.Alive {
			delete(p.back, s.ID)
			if p.away[s.ID].IsZero() {
				p.away[s.ID] = now
			}
			left := replaceAfter - now.Sub(p.away[s.ID])
			if s.Lost = left <= 0; !s.Lost {
				soonest(left)
			}
			continue
		}
		if !p.away[s.ID].IsZero() {
			delete(p.away, s.ID)
			p.back[s.ID] = now
		}
		left := steadyAfter - now.Sub(p.back[s.ID])
		if s.Steady = left <= 0; s.Steady {
			delete(p.back, s.ID)
		} else if !s.Voter {
			soonest(left)
		}
	}
	for _, seen := range []map[string]time.Time{p.away, p.back} {
		for id := range seen {
			if !known[id] {
				delete(seen, id)
			}
		}
	}
	return wait
}
