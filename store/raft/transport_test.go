package raft

import (
	"context"
	"log/slog"
	"net"
	"testing"

	hraft "github.com/hashicorp/raft"
)

// once is a link that leads to one server only, and calls ends when its connection is to end.
type once struct {
	accept chan net.Conn
	ends   func()
}

// Dial implements Links.
func (l once) Dial(context.Context, string) (net.Conn, error) {
	here, there := net.Pipe()
	l.accept <- there
	return ending{here, l.ends}, nil
}

type ending struct {
	net.Conn
	ends func()
}

func (c ending) Close() error { c.ends(); return c.Conn.Close() }

// TestAServerThatStopsListensNoMoreWhenItsConnectionsEnd, since the others ask then whether it does.
func TestAServerThatStopsListensNoMoreWhenItsConnectionsEnd(t *testing.T) {
	accept, closed, ended := make(chan net.Conn), make(chan struct{}), false
	other := NewTransport("b", listener{"b", accept, make(chan struct{})}, nil, slog.New(slog.DiscardHandler))
	defer func() { _ = other.Close() }()
	stops := NewTransport("a", listener{"a", nil, closed}, once{accept, func() {
		ended = true
		select {
		case <-closed:
		default:
			t.Error("it still listens")
		}
	}}, slog.New(slog.DiscardHandler))
	go func() {
		rpc := <-other.Consumer()
		rpc.Respond(&hraft.RequestVoteResponse{}, nil)
	}()
	if err := stops.RequestVote("b", "b", &hraft.RequestVoteRequest{}, new(hraft.RequestVoteResponse)); err != nil {
		t.Fatal(err)
	}
	if err := stops.Close(); err != nil || !ended {
		t.Errorf("its connections ended: %v (%v)", ended, err)
	}
}
