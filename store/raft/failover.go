package raft

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	// failoverTurn is how long a server waits for each one before it in turn to be elected.
	failoverTurn = 150 * time.Millisecond
	// askTimeout bounds the question whether the leader's process is there.
	askTimeout = 2 * time.Second
)

// failOver has this server stand for election without waiting for the heartbeat timeout when the leader's process is gone for
// certain: its connections have ended, and its machine refuses others.
func (n *Node) failOver(ctx context.Context, t *Transport) {
	for {
		select {
		case <-t.ended:
		case <-ctx.Done():
			return
		}
		term, leader := n.raft.CurrentTerm(), n.LeaderID()
		turn := slices.Index(n.successors(leader), n.id)
		if leader == "" || turn < 0 {
			continue
		}
		gone, took := t.isGone(ctx, leader)
		if !gone {
			continue
		}
		// Those before must have had the time to be heard of.
		if !pause(ctx, time.Duration(turn)*(failoverTurn+2*took)) {
			return
		}
		if n.raft.CurrentTerm() == term && n.LeaderID() == leader {
			n.logger.Info("the leader's process is gone: this server stands for election", "leader", leader)
			t.stand()
		}
	}
}

// successors are the servers that vote but for the leader, in the order in which they stand for election.
func (n *Node) successors(leader string) []string {
	var ids []string
	for _, s := range n.servers() {
		if s.Suffrage == hraft.Voter && string(s.ID) != leader {
			ids = append(ids, string(s.ID))
		}
	}
	slices.Sort(ids)
	return ids
}

// isGone reports whether the machine of a server says that nothing listens there, and how long it took to say so.
func (t *Transport) isGone(ctx context.Context, id string) (gone bool, took time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	began := time.Now()
	conn, err := t.links.Dial(ctx, id)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED), time.Since(began)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
