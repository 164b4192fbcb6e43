package node

import (
	"slices"
	"testing"
	"time"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/store"
)

// TestSuccessorsThatAnswerComeFirst has the leader look for another one while it does not reach all that the gossip hears from.
func TestSuccessorsThatAnswerComeFirst(t *testing.T) {
	now := time.Now()
	heard := map[string]time.Time{"cut-off": now.Add(-time.Minute), "near": now, "far": now.Add(-time.Second)}
	var members []store.Member
	var alive []gossip.Member
	for _, id := range []string{"cut-off", "far", "near", "never", "self", "witness"} {
		members = append(members, store.Member{ID: id, Voter: true})
		alive = append(alive, gossip.Member{ID: id, Witness: id == "witness"})
	}
	members = append(members, store.Member{ID: "dead", Voter: true}, store.Member{ID: "follower"})
	alive = append(alive, gossip.Member{ID: "follower"})
	got := successors(members, alive, "self", func(id string) time.Time { return heard[id] })
	if want := []string{"near", "far", "cut-off", "never"}; !slices.Equal(got, want) {
		t.Errorf("successors: %v, want %v", got, want)
	}
}
