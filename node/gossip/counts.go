package gossip

import "sync/atomic"

// Counts are what the gossip has come to, for metrics.
type Counts struct {
	Alive, Lost int // members
	// Health is memberlist's score of this node itself: 0 when it hears from others in time, and more the less it does.
	Health         int
	Sent, Received Packets
}

// Packets are how many UDP packets there were, and the bytes in them.
type Packets struct{ Count, Bytes uint64 }

// Counts are those until now.
func (g *Gossip) Counts() Counts {
	return Counts{
		Alive: len(g.Members()), Lost: len(g.missing()), Health: g.list.GetHealthScore(),
		Sent: g.transport.counted[0].packets(), Received: g.transport.counted[1].packets(),
	}
}

// traffic counts packets.
type traffic struct{ count, bytes atomic.Uint64 }

func (t *traffic) add(bytes int) {
	t.count.Add(1)
	t.bytes.Add(uint64(bytes))
}

func (t *traffic) packets() Packets { return Packets{t.count.Load(), t.bytes.Load()} }
