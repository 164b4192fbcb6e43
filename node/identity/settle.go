package identity

import "time"

const (
	// gossipLife is after what time the gossip key is replaced.
	gossipLife = 30 * 24 * time.Hour
	// gossipOverlap is how long the old one is then understood: packets under way, and nodes that are slow to learn of the new one.
	gossipOverlap = 10 * time.Minute
	// gossipPatience is how long the new one waits for nodes that are alive and do not say that they have it.
	gossipPatience = 10 * time.Minute
)

// Settle takes the next step of what is under way. everybody says that all nodes that are alive have these keys. It returns the next
// keys, whether they differ, and after what time to look again even if nothing changes.
func (k *Keys) Settle(now time.Time, everybody bool) (next Keys, changed bool, wait time.Duration) {
	next = k.Clone()
	soonest := func(at time.Time) {
		if left := max(at.Sub(now), time.Second); wait == 0 || left < wait {
			wait = left
		}
	}
	for i := len(next.Authorities) - 1; i > 0; i-- {
		if until := next.Authorities[i].Until; until.After(now) {
			soonest(until)
			continue
		}
		next.Authorities = append(next.Authorities[:i], next.Authorities[i+1:]...)
		changed = true
	}
	if next.settleGossip(now, everybody, soonest) {
		changed = true
	}
	if changed {
		next.Generation++
	}
	return next, changed, wait
}

func (k *Keys) settleGossip(now time.Time, everybody bool, soonest func(time.Time)) bool {
	if len(k.Gossip) == 1 {
		due := k.Gossip[0].Since.Add(gossipLife)
		if due.After(now) {
			soonest(due)
			return false
		}
		k.Gossip = append(k.Gossip, newGossipKey(now, gossipOverlap))
		return true
	}
	first, second := k.Gossip[0], k.Gossip[1]
	if second.Until.IsZero() { // it waits to become the first
		patience := second.Since.Add(gossipPatience)
		if !everybody && patience.After(now) {
			soonest(patience)
			return false
		}
		first.Until = now.Add(second.Overlap).UTC().Truncate(time.Second)
		k.Gossip = []GossipKey{second, first}
		return true
	}
	if second.Until.After(now) {
		soonest(second.Until)
		return false
	}
	k.Gossip = k.Gossip[:1]
	return true
}
