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

// seen reads "a*" as a server that votes, "b" as one that follows, "+c" as one that is not in Raft yet. It is of a zone with "a/z", away
// with "a!", lost with "a!!", not steady with "a~", leaving with "a<", and its Node object is gone with "a-". a leads.
func seen(text string) []server {
	var servers []server
	for _, word := range strings.Fields(text) {
		id, zone, _ := strings.Cut(word, "/")
		has := func(mark string) bool { return strings.Contains(id, mark) }
		name := strings.Trim(id, "+*!~<-")
		servers = append(servers, server{
			ID: name, Zone: zone, Member: !has("+"), Voter: has("*"), Leader: name == "a", Alive: !has("!"), Lost: has("!!"),
			Steady: !has("!") && !has("~"), Wanted: !has("-"), Leaves: has("<"),
		})
	}
	return servers
}

func TestMemberChanges(t *testing.T) {
	for _, test := range []struct {
		name, servers, want string
		voters              int
	}{
		{name: "alone", servers: "a*"},
		{name: "two servers have one voter", servers: "a* +b", want: "b"},
		{name: "a second is settled", servers: "a* b"},
		{name: "three vote at once", servers: "a* b +c", want: "c b* c*"},
		{name: "a fourth only follows", servers: "a* b* c* +d", want: "d"},
		{name: "a voter is away for a short time", servers: "a* b* c*! d"},
		{name: "a voter is away for long", servers: "a* b* c*!! d", want: "d* c"},
		{name: "nobody could vote instead", servers: "a* b* c*!!"},
		{name: "the one that could was away itself", servers: "a* b* c*!! d~"},
		{name: "a voter that was away keeps its vote", servers: "a* b*~ c* d"},
		{name: "of three one is dead before it votes", servers: "a* b c!"},
		{name: "seven have five", servers: "a* b* c* d e f +g", want: "g d* e*"},
		{name: "seven are to have three", servers: "a* b* c* d e f g", voters: 3},
		{name: "three are to have one", servers: "a* b* c*", voters: 1, want: "b c"},
		{name: "five are to have five", servers: "a* b* c* d e", voters: 5, want: "d* e*"},
		{name: "a dead one was deleted", servers: "a* b* c*!-", want: "-c b"},
		{name: "one that lives was deleted", servers: "a* b* c*-"},
		{name: "the leader keeps its vote", servers: "b* a*", want: "b"},
		{name: "a deleted one makes room", servers: "a* b* c*!- d", want: "-c d*"},

		{name: "one leaves", servers: "a* b* c*<", want: "b -c"},
		{name: "one leaves, another takes its vote", servers: "a* b* c*< d", want: "d* -c"},
		{name: "the leader leaves", servers: "a*< b* c* d", want: "d*"},
		{name: "the leader of two leaves", servers: "a*< b", want: "b*"},
		{name: "one leaves before it is there", servers: "a* +b<"},

		{name: "a voter in each zone", servers: "a*/x b/x c/y d/z", want: "c* d*"},
		{name: "voters move into another zone", servers: "a*/x b*/x c*/y d/z", want: "d* b"},
		{name: "two zones", servers: "a*/x b*/x c*/y d/y"},
		{name: "one zone is gone", servers: "a*/x b/x c*/y d*!!/z", want: "b* d"},
	} {
		var got []string
		for _, change := range memberChanges(seen(test.servers), test.voters) {
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

func TestPresence(t *testing.T) {
	p, start := newPresence(), time.Unix(1e9, 0)
	for _, test := range []struct {
		after          time.Duration
		alive          string
		lost, unsteady string
		wait           time.Duration
	}{
		{0, "a b c", "", "", 0},
		{time.Second, "a b", "", "c", replaceAfter},
		{11 * time.Second, "a", "", "b c", replaceAfter - 10*time.Second},
		{replaceAfter + time.Second, "a", "c", "b c", 10 * time.Second},
		{replaceAfter + 2*time.Second, "a c", "", "b c", 9 * time.Second},
		{replaceAfter + 2*time.Second + steadyAfter, "a c", "b", "b", 0},
	} {
		servers := seen("a* b c")
		for i := range servers {
			servers[i].Alive = slices.Contains(strings.Fields(test.alive), servers[i].ID)
		}
		wait := p.judge(servers, start.Add(test.after))
		var lost, unsteady []string
		for _, s := range servers {
			if s.Lost {
				lost = append(lost, s.ID)
			}
			if !s.Steady {
				unsteady = append(unsteady, s.ID)
			}
		}
		if strings.Join(lost, " ") != test.lost || strings.Join(unsteady, " ") != test.unsteady || wait != test.wait {
			t.Errorf("after %v: lost %v, unsteady %v, look again in %v; want %q, %q, %v", test.after, lost, unsteady, wait, test.lost, test.unsteady, test.wait)
		}
	}
}

func TestStatusSaysWhatCanBeLost(t *testing.T) {
	alive := []gossip.Member{
		{ID: "a", Name: "one", Addresses: []string{"10.0.0.1:7443"}},
		{ID: "b", Name: "two", Addresses: []string{"10.0.0.2:7443"}},
		{ID: "d", Name: "new", Addresses: []string{"10.0.0.3:7443"}},
	}
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
