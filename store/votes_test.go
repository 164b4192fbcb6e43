package store

import (
	"context"
	"testing"
)

// TestAServerVotesForOneThatItHasNotHeardOf adds a server, and removes another, while a third is cut off. When the leader dies then, the one
// that was cut off is needed for a majority, and only the new one has all entries.
func TestAServerVotesForOneThatItHasNotHeardOf(t *testing.T) {
	c, stores, stop := newCluster(t, 3)
	leader := leaderOf(t, stores)
	away, leaves := (leader+1)%3, (leader+2)%3
	set(t, stores[away], "default", "a", "before")
	var links [][2]string
	for _, id := range []string{stores[leader].id, stores[leaves].id, "n3"} {
		links = append(links, [2]string{id, stores[away].id}, [2]string{stores[away].id, id})
	}
	c.wires.fail(0, 0, links...)
	added, _ := c.join(t, "n3")
	reachable := []*Store{stores[leader], stores[leaves], added}
	reconfigure(t, reachable, func(ctx context.Context, leads *Store) error { return leads.AddMember(ctx, "n3", true) })
	reconfigure(t, reachable, func(ctx context.Context, leads *Store) error { return leads.RemoveMember(ctx, stores[leaves].id) })
	set(t, added, "default", "a", "meanwhile")
	stop[leader]()
	stop[leaves]()
	c.wires.fail(0, 0)
	set(t, added, "default", "a", "after")
	snap, err := stores[away].Linearizable(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(snap, "default", "a"); got != "after" {
		t.Errorf("the one that was cut off reads %q", got)
	}
}
