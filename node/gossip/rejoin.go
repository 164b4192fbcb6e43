package gossip

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// A node that is lost is looked for in steps from the first to the longest: memberlist itself forgets it after half a minute, and two
// parts of a cluster that were cut off from each other for longer would never meet again.
const (
	seekFirst = 2 * time.Second
	seekMost  = 15 * time.Second
)

// seek tries to join one of the lost members again and again, as long as there are any.
func (g *Gossip) seek(ctx context.Context) error {
	wait := seekFirst
	for {
		changed := g.Changed()
		if len(g.missing()) == 0 {
			wait = seekFirst
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, seekMost)
		if lost := g.missing(); len(lost) > 0 {
			g.meet(ctx, g.Locate(lost[rand.IntN(len(lost))].ID))
		}
	}
}

// meet reports whether one of the nodes at these addresses took this one up.
func (g *Gossip) meet(ctx context.Context, addresses []string) bool {
	if g.joinAny(ctx, addresses) {
		return true
	}
	if g.cfg.Refused != nil {
		g.cfg.Refused(ctx, addresses)
	}
	return false
}

// missing are the members that are lost, did not say that they were leaving, and were not removed.
func (g *Gossip) missing() []Member {
	g.mu.Lock()
	lost := slices.Collect(maps.Values(g.lost))
	g.mu.Unlock()
	removed := g.cfg.Removed
	return slices.DeleteFunc(lost, func(m Member) bool { return m.Leaving || removed != nil && removed(m.ID) })
}
