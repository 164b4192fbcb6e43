package raft

import (
	"context"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	// calmBeat is how far apart heartbeats are while all is calm: hashicorp/raft has one every 250 to 500 ms, to each server at
	// another time. A server that misses one still has the time to be sent others before it stands for election.
	calmBeat = time.Second
	// calmTimeout is a calm leader's heartbeat timeout, a tenth of which hashicorp/raft has between heartbeats: so long that those
	// which keepTime asks for are the only ones. While it leads it uses the timeout for nothing else, unless it hands over.
	calmTimeout = 10 * time.Minute
)

// tempo guards the rhythm of a leader's heartbeats.
type tempo struct {
	mu    sync.Mutex
	hurry int // how many want hashicorp/raft's own
}

// keepTime has a leader send its heartbeats to all servers at once while all is calm, so that it wakes once for them, when the
// process wakes anyway.
func (n *Node) keepTime(ctx context.Context) {
	if n.heartbeat < 2*calmBeat {
		return
	}
	for ctx.Err() == nil {
		leads, changed := n.leadership()
		var next <-chan time.Time
		if leads && len(n.others()) > 0 {
			next = time.After(calmBeat - time.Since(n.wakes)%calmBeat)
		}
		select {
		case <-next:
			n.calmDown()
		case <-changed:
			n.rouse()
		case <-n.transport.turned:
			n.rouse()
		case <-ctx.Done():
		}
	}
}

func (n *Node) leadership() (leads bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.term != 0, n.changed
}

// calmDown has a heartbeat sent to each server, and none before the next call, if all is calm; else it
// leaves that to hashicorp/raft.
func (n *Node) calmDown() {
	n.tempo.mu.Lock()
	defer n.tempo.mu.Unlock()
	calm := n.tempo.hurry == 0 && n.transport.calm(n.raft.CurrentTerm(), n.others())
	if calm {
		n.look(calmTimeout)
	}
	if !calm || n.raft.State() != hraft.Leader { // who may no longer have been one when it was slowed down
		n.quicken()
	}
}

// rouse goes back to hashicorp/raft's own rhythm, at once.
func (n *Node) rouse() {
	n.tempo.mu.Lock()
	defer n.tempo.mu.Unlock()
	n.quicken()
}

// quicken is called with tempo.mu held.
func (n *Node) quicken() {
	n.reconfigure(func(c *hraft.ReloadableConfig) {
		if c.HeartbeatTimeout >= calmTimeout {
			timeout(n.heartbeat)(c)
		}
	})
}

// hurry keeps to hashicorp/raft's own rhythm until done is called.
func (n *Node) hurry() (done func()) {
	n.tempo.mu.Lock()
	defer n.tempo.mu.Unlock()
	n.tempo.hurry++
	n.quicken()
	return func() {
		n.tempo.mu.Lock()
		defer n.tempo.mu.Unlock()
		n.tempo.hurry--
	}
}

// others are the IDs of the other servers.
func (n *Node) others() (ids []string) {
	for _, s := range n.servers() {
		if string(s.ID) != n.id {
			ids = append(ids, string(s.ID))
		}
	}
	return ids
}
