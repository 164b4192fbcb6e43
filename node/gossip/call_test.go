package gossip

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"covey.dev/covey/node/identity"
)

// TestForsakenNodesCall starts nodes that know of each other where nobody is any more: they find each other by what all on their
// network hear, and a stranger there is not answered.
func TestForsakenNodesCall(t *testing.T) {
	network := []netip.Addr{{}, {}, {}, {}} // what is sent to all of it is sent to each here
	for i := range network {
		network[i] = netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)})
	}
	const gone = "127.0.0.9:9"
	dir := t.TempDir()
	const port = 17444 // the same for all, and none that the kernel gives a connection
	at := func(a netip.Addr) string { return netip.AddrPortFrom(a, port).String() }
	stranger := runAt(t, nil, at(network[3]), network, "x", filepath.Join(dir, "x"), gone)
	var nodes []running
	var shared *identity.Identity
	for i, name := range []string{"a", "b", "c"} {
		file := filepath.Join(dir, name)
		if err := writeAddresses(file, []string{gone}); err != nil {
			t.Fatal(err)
		}
		n := runAt(t, shared, at(network[i]), network, name, file)
		shared = n.id
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		n.sees(t, "a", "b", "c")
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for stranger.Counts().Sent.Count < uint64(len(network)) {
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatal("the stranger does not call")
		}
	}
	stranger.sees(t, "x")
	nodes[0].sees(t, "a", "b", "c")
}

// TestWhoCalls is about those who miss too many of the others.
func TestWhoCalls(t *testing.T) {
	g := &Gossip{alive: map[string]Member{"me": {ID: "me"}}, lost: map[string]Member{}}
	is := func(what string, sought, want bool) {
		t.Helper()
		if got := g.forsaken(sought); got != want {
			t.Errorf("%s: %t, want %t", what, got, want)
		}
	}
	is("a first node", false, false)
	is("a node that knows of others", true, true)
	g.lost["b"] = Member{ID: "b"}
	is("one of two", false, true)
	g.alive["c"] = Member{ID: "c"}
	is("two of three", true, false)
	g.lost["d"] = Member{ID: "d"}
	is("two of four", false, true)
	g.lost["d"] = Member{ID: "d", Leaving: true}
	is("two of three, and one that left", false, false)
	g.lost["d"], g.lost["e"] = Member{ID: "d"}, Member{ID: "e"}
	is("two of five", false, true)
	g.cfg.Removed = func(id string) bool { return id == "d" || id == "e" }
	is("two of three, and two that were removed", false, false)
}
