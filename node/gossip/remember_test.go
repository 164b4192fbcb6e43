package gossip

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// TestANodeRemembersAtOnceWhoJoined has others join: the first is written right then, and those that follow it together.
func TestANodeRemembersAtOnceWhoJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		g := &Gossip{
			cfg:     Config{NodeID: "a", File: filepath.Join(t.TempDir(), "peers.json"), Log: slog.New(slog.DiscardHandler)},
			changed: make(chan struct{}), alive: map[string]Member{}, lost: map[string]Member{}, settings: memberlist.DefaultLANConfig(),
		}
		ended := make(chan error)
		go func() { ended <- g.remember(ctx) }()
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := readAddresses(g.cfg.File); !slices.Equal(got, want) {
				t.Errorf("it remembers %v, want %v", got, want)
			}
		}
		join := func(id string) { g.notify(Member{ID: id, Addresses: []string{id + ":7443"}}, false) }
		synctest.Wait()
		join("a")
		join("b")
		expect("b:7443")
		time.Sleep(settleTime / 4)
		join("c")
		time.Sleep(settleTime / 4)
		join("d")
		expect("b:7443")
		time.Sleep(settleTime)
		expect("b:7443", "c:7443", "d:7443")
		time.Sleep(settleTime)
		join("e")
		expect("b:7443", "c:7443", "d:7443", "e:7443")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
