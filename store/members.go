package store

import (
	"context"
	"log/slog"
	"net"

	hraft "github.com/hashicorp/raft"

	"covey.dev/covey/store/raft"
)

// Member is one server that holds a replica.
type Member = raft.Member

// Members are the servers of the cluster as this one knows them.
func (s *Store) Members() []Member { return s.node.Members() }

// AddMember lets the server named by id hold a replica, or changes whether it votes. Only the leader can.
func (s *Store) AddMember(ctx context.Context, id string, voter bool) error {
	return leaderError(s.node.Add(ctx, id, voter))
}

// RemoveMember takes the server named by id out. Only the leader can.
func (s *Store) RemoveMember(ctx context.Context, id string) error {
	return leaderError(s.node.Remove(ctx, id))
}

// LeaderID names the server that leads as far as this one knows; "" when none does.
func (s *Store) LeaderID() string { return s.node.LeaderID() }

// NewTransport carries Raft's messages over connections between the servers, which links makes by their IDs and accepted
// yields. Only servers may be at the other end.
func NewTransport(id string, accepted net.Listener, links raft.Links, log *slog.Logger) hraft.Transport {
	return raft.NewTransport(id, accepted, links, log)
}
