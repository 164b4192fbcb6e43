package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"


	"covey.dev/covey/node/gossip"
	"covey.dev/covey/store"
)

// servers reads "a* b" as the members a, which votes, and b.
func servers(text string) []store.Member {
	var members []store.Member
	for _, word := range strings.Fields(text) {
		id, voter := strings.CutSuffix(word, "*")
		members = append(members, store.Member{ID: id, Voter: voter})
	}
	return members
}

func TestMemberChanges(t *testing.T) {
	for _, test := range []struct{ name, members, alive, dead, deleted, want string }{
		{name: "alone", members: "a*", alive: "a"},
		{name: "two servers have one voter", members: "a*", alive: "a b", want: "b"},
		{name: "a second is settled", members: "a* b", alive: "a b"},
		{name: "three vote at once", members: "a* b", alive: "a b c", want: "c b* c*"},
		{name: "a fourth only follows", members: "a* b* c*", alive: "a b c d", want: "d"},
		{name: "a voter is away for a short time", members: "a* b* c* d", alive: "a b d"},
		{name: "a voter is away for long", members: "a* b* c* d", alive: "a b d", dead: "c", want: "d* c"},
		{name: "nobody could vote instead", members: "a* b* c*", alive: "a b", dead: "c"},
		{name: "of three one is dead before it votes", members: "a* b c", alive: "a b"},
		{name: "seven have five", members: "a* b* c* d e f", alive: "a b c d e f g", want: "g d* e*"},
		{name: "a dead one was deleted", members: "a* b* c*", alive: "a b", deleted: "c", want: "-c b"},
		{name: "one that lives was deleted", members: "a* b* c*", alive: "a b c", deleted: "c"},
		{name: "the leader keeps its vote", members: "b* a*", alive: "a b", want: "b"},
		{name: "a deleted one makes room", members: "a* b* c* d", alive: "a b d", deleted: "c", want: "-c d*"},
	} {
		seen := view{leader: "a", alive: strings.Fields(test.alive), dead: strings.Fields(test.dead), names: map[string]string{}}
		for _, m := range servers(test.members) {
			if !slices.Contains(strings.Fields(test.deleted), m.ID) {
				seen.names[m.ID] = "node-" + m.ID
			}
		}
		var got []string
		for _, change := range memberChanges(servers(test.members), seen) {
			text := change.ID
			if change.Voter {
				text += "*"
			}
			if change.Remove {
				text = "-" + text
			}
			got = append(got, text)
		}
		if !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}

func TestLongDead(t *testing.T) {
	since := map[string]time.Time{}
	start := time.Unix(1e9, 0)
	members := servers("a* b* c*")
	for _, test := range []struct {
		after time.Duration
		alive string
		dead  string
		wait  time.Duration
	}{
		{0, "a b c", "", 0},
		{time.Second, "a b", "", replaceAfter},
		{11 * time.Second, "a", "", replaceAfter - 10*time.Second},
		{replaceAfter + time.Second, "a", "c", 10 * time.Second},
		{replaceAfter + 2*time.Second, "a c", "", 9 * time.Second},
		{replaceAfter + 3*time.Second, "a", "", 8 * time.Second},
	} {
		dead, wait := longDead(members, strings.Fields(test.alive), since, start.Add(test.after))
		if strings.Join(dead, " ") != test.dead || wait != test.wait {
			t.Errorf("after %v: dead %v, look again in %v; want %q, %v", test.after, dead, wait, test.dead, test.wait)
		}
	}
}

func TestStatusSaysWhatCanBeLost(t *testing.T) {
	alive := []gossip.Member{{ID: "a", Name: "one"}, {ID: "b", Name: "two"}, {ID: "d", Name: "new"}}
	s := describe(servers("a* b* c*"), alive, map[string]string{"c": "three"}, "b")
	var got []string
	for _, m := range s.Members {
		got = append(got, fmt.Sprint(m.Name, "/", m.Role, "/", m.Alive))
	}
	want := []string{"new/joining/true", "one/voter/true", "three/voter/false", "two/leader/true"}
	if !slices.Equal(got, want) || s.CanLose != 0 {
		t.Errorf("%v, %d can be lost; want %v, 0", got, s.CanLose, want)
	}
}
