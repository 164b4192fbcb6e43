package raft

import (
	"context"
	"log/slog"
	"net"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Links are connections to the other servers, by their IDs: an address is looked up when one is made, never kept.
type Links interface {
	Dial(ctx context.Context, serverID string) (net.Conn, error)
}

const (
	// transportTimeout bounds one message; a snapshot's grows with its size.
	transportTimeout = 10 * time.Second
	pooledConns      = 3
)

// NewTransport carries Raft over the connections that accepted yields and links makes. Its own address is id.
func NewTransport(id string, accepted net.Listener, links Links, log *slog.Logger) *hraft.NetworkTransport {
	return hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{
		Stream:  streams{Listener: accepted, id: id, links: links},
		MaxPool: pooledConns,
		Timeout: transportTimeout,
		Logger:  newLogger(log),
	})
}

// streams fits the connections to hashicorp/raft, which has an address for each server: here its ID.
type streams struct {
	net.Listener
	id    string
	links Links
}

var _ hraft.StreamLayer = streams{}

// Addr implements net.Listener.
func (s streams) Addr() net.Addr { return idAddr(s.id) }

// Dial implements hraft.StreamLayer.
func (s streams) Dial(address hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.links.Dial(ctx, string(address))
}

type idAddr string

func (idAddr) Network() string  { return "covey" }
func (a idAddr) String() string { return string(a) }
