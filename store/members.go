package store

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"time"

	"covey.dev/covey/store/raft"
)

// Member is one server that holds a replica.
type Member = raft.Member

// Members are the servers of the cluster as this one knows them.
func (s *Store) Members() []Member { return s.node.Members() }

// AddMember lets the server named by id hold a replica, or changes whether it votes. Only the leader can.
func (s *Store) AddMember(ctx context.Context, id string, voter bool) error {
	return storeError(s.node.Add(ctx, id, voter))
}

// RemoveMember takes the server named by id out. Only the leader can.
func (s *Store) RemoveMember(ctx context.Context, id string) error {
	return storeError(s.node.Remove(ctx, id))
}

// HandOver has the server named by id, which votes, lead instead of this one.
func (s *Store) HandOver(ctx context.Context, id string) error {
	return storeError(s.node.HandOver(ctx, id))
}

// Revision is that of this replica.
func (s *Store) Revision() uint64 { return s.Snapshot().Revision() }

// AwaitRevision returns when this replica has the state at revision.
func (s *Store) AwaitRevision(ctx context.Context, revision uint64) error {
	return s.table.reach(ctx, revision)
}

// AwaitLeader returns the ID of the server that leads, once there is one. When it is this one, it has applied all that was committed
// before.
func (s *Store) AwaitLeader(ctx context.Context) (string, error) {
	id, _, err := s.node.WaitLeader(ctx)
	if err != nil {
		return "", storeError(err)
	}
	return cmp.Or(id, s.id), nil
}

// LeaderID names the server that leads as far as this one knows; "" when none does.
func (s *Store) LeaderID() string { return s.node.LeaderID() }

// Contact is when the server named by id last answered this one, if it leads: it is asked at least once a second. Zero when it never
// did, or is no server.
func (s *Store) Contact(id string) time.Time { return s.node.Contact(id) }

// NewTransport carries Raft's messages over connections between the servers, which links makes by their IDs and accepted
// yields. Only servers may be at the other end.
func NewTransport(id string, accepted net.Listener, links raft.Links, log *slog.Logger) raft.Carrier {
	return raft.NewTransport(id, accepted, links, log)
}
