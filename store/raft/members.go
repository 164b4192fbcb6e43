package raft

import (
	"context"
	"fmt"
	"slices"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Member is one server of the Raft cluster.
type Member struct {
	ID    string
	Voter bool
}

// Members are the servers as this one knows them.
func (n *Node) Members() []Member {
	servers := n.servers()
	members := make([]Member, len(servers))
	for i, s := range servers {
		members[i] = Member{ID: string(s.ID), Voter: s.Suffrage == hraft.Voter}
	}
	return members
}

// Add makes the server named by id a member, or changes whether it votes. Only the leader can.
func (n *Node) Add(ctx context.Context, id string, voter bool) error {
	// The address is the ID: where a server is at the moment is the transport's to know.
	server, address := hraft.ServerID(id), hraft.ServerAddress(id)
	votes := slices.Contains(n.Members(), Member{ID: id, Voter: true})
	err := n.await(ctx, func() error {
		switch {
		case voter:
			return n.raft.AddVoter(server, address, 0, enqueueTimeout).Error()
		case votes:
			return n.raft.DemoteVoter(server, 0, enqueueTimeout).Error()
		}
		return n.raft.AddNonvoter(server, address, 0, enqueueTimeout).Error()
	})
	if err != nil {
		return fmt.Errorf("add server %s: %w", id, err)
	}
	return nil
}

// Remove takes the server named by id out of the cluster. Only the leader can.
func (n *Node) Remove(ctx context.Context, id string) error {
	err := n.await(ctx, func() error { return n.raft.RemoveServer(hraft.ServerID(id), 0, enqueueTimeout).Error() })
	if err != nil {
		return fmt.Errorf("remove server %s: %w", id, err)
	}
	return nil
}

// LeaderID is the server that leads as far as this one knows; "" when none does.
func (n *Node) LeaderID() string {
	_, id := n.raft.LeaderWithID()
	return string(id)
}

// Contact is when the server named by id last answered this one, if it leads; zero when it never did.
func (n *Node) Contact(id string) time.Time {
	if n.transport == nil {
		return time.Time{}
	}
	return n.transport.Contact(id)
}

// Voters is how many of the servers vote.
func (n *Node) Voters() int {
	voters := 0
	for _, m := range n.Members() {
		if m.Voter {
			voters++
		}
	}
	return voters
}

// WhileLeader returns a context that ends when another server than id leads as far as this one knows, or none.
func (n *Node) WhileLeader(ctx context.Context, id string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for {
			_, changed := n.leadership()
			if n.LeaderID() != id {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}
