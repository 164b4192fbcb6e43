package raft

import (
	"context"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// HandOver has the server named by id, which votes, lead instead of this one. It returns when it stands for election, or has failed to.
func (n *Node) HandOver(ctx context.Context, id string) error {
	defer n.hurry()() // it is given up after the heartbeat timeout
	// The address is the ID, as in Add.
	err := n.await(ctx, func() error {
		return n.raft.LeadershipTransferToServer(hraft.ServerID(id), hraft.ServerAddress(id)).Error()
	})
	if err != nil {
		return fmt.Errorf("hand leadership over to server %s: %w", id, err)
	}
	return nil
}
