package raft

import (
	"context"
	"slices"
	"time"

	hraft "github.com/hashicorp/raft"
)

// heed has this server look whether its leader is silent when the heartbeat timeout has passed. hashicorp/raft looks at times of its
// own, one to two timeouts apart, and until it has it votes for nobody else: two servers that are left took up to four timeouts
// to elect one of them. Who is first in turn looks first, so that not all stand for election at once.
func (n *Node) heed(ctx context.Context) {
	for ctx.Err() == nil {
		_, changed := n.leadership()
		wait := n.heartbeat
		leader := n.LeaderID()
		if turn := slices.Index(n.successors(leader), n.id); leader != "" && turn >= 0 {
			due := n.raft.LastContact().Add(n.heartbeat + time.Duration(turn+1)*failoverTurn)
			if wait = time.Until(due); wait <= 0 {
				n.look(n.heartbeat)
				wait = n.heartbeat
			}
		}
		var next <-chan time.Time
		if leader != n.id {
			next = time.After(wait)
		}
		select {
		case <-next:
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// look sets the heartbeat timeout, and has hashicorp/raft do at once what it waits for it to do: a follower looks at the leader's last
// message, a leader sends heartbeats. It does when the timeout becomes shorter.
func (n *Node) look(heartbeat time.Duration) {
	n.reconfigure(timeout(heartbeat + time.Millisecond))
	n.reconfigure(timeout(heartbeat))
}

func (n *Node) reconfigure(change func(*hraft.ReloadableConfig)) {
	if err := n.pacer.change(n.raft, change); err != nil {
		n.logger.Error("cannot change Raft's timeout", "error", err)
	}
}

// timeout changes the heartbeat timeout.
func timeout(heartbeat time.Duration) func(*hraft.ReloadableConfig) {
	return func(c *hraft.ReloadableConfig) { c.HeartbeatTimeout, c.ElectionTimeout = heartbeat, heartbeat }
}
