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
	for {
		wait := n.heartbeat
		leader := n.LeaderID()
		if turn := slices.Index(n.successors(leader), n.id); leader != "" && turn >= 0 {
			due := n.raft.LastContact().Add(n.heartbeat + time.Duration(turn+1)*failoverTurn)
			if wait = time.Until(due); wait <= 0 {
				n.look()
				wait = n.heartbeat
			}
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// look ends the wait for the next look at the leader's last message: a heartbeat timeout that becomes shorter does that.
func (n *Node) look() {
	for _, timeout := range []time.Duration{n.heartbeat + time.Millisecond, n.heartbeat} {
		if err := n.pacer.change(n.raft, lookAfter(timeout)); err != nil {
			n.logger.Error("cannot change Raft's timeout", "error", err)
		}
	}
}

// lookAfter changes the heartbeat timeout.
func lookAfter(timeout time.Duration) func(*hraft.ReloadableConfig) {
	return func(c *hraft.ReloadableConfig) { c.HeartbeatTimeout, c.ElectionTimeout = timeout, timeout }
}
