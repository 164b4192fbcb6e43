package gossip

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestTheEndWaitsForAJoinThatBegins stops a node as it begins to join another.
func TestTheEndWaitsForAJoinThatBegins(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for range 20 {
		h := (&wire{hosts: map[string]*host{}}).add(1)
		var dialled atomic.Bool
		g, err := New(Config{
			NodeID: strings.Repeat("1", 32), Name: "a", Version: "v1", Addresses: h.addresses, Port: h.addr.Port,
			Keys: Keys{Keys: [][]byte{make([]byte, 32)}}, File: filepath.Join(t.TempDir(), "peers"), Packets: h, Streams: h,
			Dial: func(context.Context, []string, string) (net.Conn, error) {
				time.Sleep(time.Millisecond) // it is under way
				dialled.Store(true)
				return nil, errors.New("nobody is there")
			},
			Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Run(ctx, []string{"127.0.0.9:9"}); err != nil {
			t.Fatal(err)
		}
		if !dialled.Load() {
			t.Fatal("the node has ended, and joins another")
		}
	}
}
