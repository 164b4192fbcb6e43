package raft

import (
	"context"
	"log/slog"
	"net"
	"sync"
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
	// pooledConns is how many connections with a server are kept. One or two are made unless the link loses packets.
	pooledConns = maxBeats
)

// Transport carries Raft over connections between the servers.
type Transport struct {
	*hraft.NetworkTransport
	links  Links
	rpcs   chan hraft.RPC
	ended  chan struct{} // holds one: a connection that another server made has ended
	closed chan struct{}
	lull   *lull
	turned chan struct{} // holds one: all has become calm with a server, or is so no longer

	mu    sync.Mutex
	peers map[hraft.ServerID]*peer
}

var _ Carrier = (*Transport)(nil)

// NewTransport carries Raft over the connections that accepted yields and links makes. Its own address is id.
func NewTransport(id string, accepted net.Listener, links Links, log *slog.Logger) *Transport {
	t := &Transport{
		links: links, rpcs: make(chan hraft.RPC), ended: make(chan struct{}, 1), closed: make(chan struct{}),
		peers: map[hraft.ServerID]*peer{}, lull: newLull(), turned: make(chan struct{}, 1),
	}
	t.NetworkTransport = hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{
		Stream:  streams{Listener: accepted, id: id, transport: t},
		MaxPool: pooledConns,
		Timeout: transportTimeout,
		// One at a time: where a server refuses one of several, because its disk is full for one, the leader may wait for ever
		// (hashicorp/raft#612). It goes on sending heartbeats and no entries, and cannot be stopped.
		MaxRPCsInFlight: 1,
		Logger:          newLogger(log),
	})
	go t.forward()
	return t
}

// Consumer implements hraft.Transport: what other servers ask, and what this one asks of itself.
func (t *Transport) Consumer() <-chan hraft.RPC { return t.rpcs }

func (t *Transport) forward() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			t.hand(rpc)
		case <-t.closed:
			return
		}
	}
}

func (t *Transport) hand(rpc hraft.RPC) {
	select {
	case t.rpcs <- rpc:
	case <-t.closed:
	}
}

// stand has this server stand for election at once, as a leader that resigns asks its successor to.
func (t *Transport) stand() {
	request := &hraft.TimeoutNowRequest{RPCHeader: hraft.RPCHeader{ProtocolVersion: hraft.ProtocolVersionMax}}
	t.hand(hraft.RPC{Command: request, RespChan: make(chan hraft.RPCResponse, 1)})
}

// Close implements hraft.WithClose.
func (t *Transport) Close() error {
	close(t.closed)
	err := t.NetworkTransport.Close()
	// Last: with the end of the connections the others see that this server is gone, and ask at once whether anything listens there.
	t.CloseStreams()
	return err
}

// streams fits the connections to hashicorp/raft, which has an address for each server: here its ID.
type streams struct {
	net.Listener
	id        string
	transport *Transport
}

var _ hraft.StreamLayer = streams{}

// Addr implements net.Listener.
func (s streams) Addr() net.Addr { return idAddr(s.id) }

// Accept implements net.Listener.
func (s streams) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return accepted{conn, s.transport}, nil
}

// accepted tells the transport when the connection ends.
type accepted struct {
	net.Conn
	transport *Transport
}

func (c accepted) Close() error {
	select {
	case c.transport.ended <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}

// Dial implements hraft.StreamLayer.
func (s streams) Dial(address hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.transport.links.Dial(ctx, string(address))
}

type idAddr string

func (idAddr) Network() string  { return "covey" }
func (a idAddr) String() string { return string(a) }
