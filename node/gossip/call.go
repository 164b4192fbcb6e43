package gossip

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
)

// A node that misses as many of the others as it sees calls on its own networks, from the first to the longest wait: they may all be
// at other addresses than they were, and so may it, as when the site's router has handed out another range. Whoever hears it connects
// with it, as with any node that it joins; no packet is an answer.
const (
	callFirst = time.Second
	callMost  = time.Minute
	// movedCalls are made after this node itself has moved, whoever is missing: it takes a node that hears nobody a while to miss them.
	movedCalls = 3
	// mostCalls wait to be answered. Of more, some are dropped: they come again.
	mostCalls = 16
	// answerPause is between one answer and the next.
	answerPause = 100 * time.Millisecond
)

// call says where a node is. It is encrypted as all that is gossiped.
type call struct {
	ID        string   `json:"id"`
	Addresses []string `json:"a"` // host:port
}

// callOthers calls while this node is forsaken and when it has moved, until ctx ends; sought says that there are others to be found after a start.
func (g *Gossip) callOthers(ctx context.Context, sought bool) error {
	wait := callFirst
	for {
		changed := g.Changed()
		var due <-chan time.Time
		if g.forsaken(sought) || g.toCall.Load() > 0 {
			due = time.After(wait)
		}
		select {
		case <-changed:
			wait = callFirst
		case <-due:
			g.call()
			if left := g.toCall.Load(); left > 0 {
				g.toCall.CompareAndSwap(left, left-1)
			}
			if wait < callMost && 2*wait >= callMost {
				g.cfg.Log.Warn("most of the other nodes are found neither where they were nor on this machine's networks; if they run and are reached at other addresses now, start this node again with --join and one of those")
			}
			wait = min(2*wait, callMost)
		case <-ctx.Done():
			return nil
		}
	}
}

// forsaken reports whether as many others are missing as there are nodes, or all that an earlier run knew.
func (g *Gossip) forsaken(sought bool) bool {
	there := len(g.Members()) // this one too
	return len(g.missing()) >= there || there == 1 && sought
}

func (g *Gossip) call() {
	if g.cfg.Everyone == nil {
		return
	}
	c := call{ID: g.cfg.NodeID}
	for _, a := range g.cfg.Addresses() {
		c.Addresses = append(c.Addresses, g.at(a))
	}
	data, _ := json.Marshal(c)
	for _, network := range g.cfg.Everyone() {
		if err := g.list.SendToAddress(memberlist.Address{Addr: g.at(network)}, data); err != nil {
			g.cfg.Log.Debug("a call for the other nodes was not sent", "to", network, "error", err)
		}
	}
}

// at is an address with the port, which is the same on all nodes where they are to find each other by calls.
func (g *Gossip) at(a netip.Addr) string { return netip.AddrPortFrom(a, uint16(g.cfg.Port)).String() } //nolint:gosec // it is a port

// NotifyMsg implements memberlist.Delegate: somebody calls.
func (d delegate) NotifyMsg(data []byte) {
	var c call
	if json.Unmarshal(data, &c) != nil || c.ID == d.cfg.NodeID {
		return // one of its own comes back
	}
	select {
	case d.calls <- c:
	default:
	}
}

// answerCalls joins those who call, one after the other, until ctx ends.
func (g *Gossip) answerCalls(ctx context.Context) error {
	for {
		select {
		case c := <-g.calls:
			if !g.knows(c) {
				g.joinAny(ctx, c.Addresses)
			}
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(answerPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// knows reports whether the node that calls is alive where it says it is.
func (g *Gossip) knows(c call) bool {
	m, ok := g.find(func(m Member) bool { return m.ID == c.ID })
	return ok && slices.Equal(m.Addresses, c.Addresses)
}
