package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// newSettings are memberlist's for this node. docs/scale.md says what 1,000 members do with them.
func (g *Gossip) newSettings() *memberlist.Config {
	s := memberlist.DefaultLANConfig()
	s.Name = g.cfg.NodeID
	s.Transport = g.transport
	s.Keyring = g.ring
	s.Delegate, s.Events, s.Alive = delegate{g}, events{g}, delegate{g}
	s.Logger = g.transport.log
	s.DNSConfigPath = ""
	s.SuspicionMult = suspicionMult(1)
	// News goes to one node more but not each 200 ms, by a timer that was most of what an idle node woke for.
	s.GossipInterval, s.GossipNodes = 500*time.Millisecond, 4
	s.EnableCompression = false // it takes a third of the processor time of a probe, whose packets are small
	return s
}

// From how many members on a suspicion is multiplied less.
const (
	manyMembers     = 30
	veryManyMembers = 300
)

// suspicionMult is how many probe intervals (1 s), times the decimal logarithm of the members' number (at least 1), a node that
// does not answer has to refute that it is dead: 3 to 5 s, whatever the number. It is less than memberlist's own because the
// leader asks a node itself before it acts on the gossip. It may be changed while memberlist runs, in its events alone: it tells
// them, and reads the setting, under the lock of its list.
func suspicionMult(members int) int {
	switch {
	case members > veryManyMembers:
		return 1
	case members > manyMembers:
		return 2
	}
	return 3
}
