package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/store"
)

// seen reads "a*" as a server that votes, "b" as one that follows, "+c" as one that is not in Raft yet. It is of a zone with "a/z", away
// with "a!", lost with "a!!", not steady with "a~", leaving with "a<", and its Node object is gone with "a-". A witness is "a?". a leads.
func seen(text string) []server {
	var servers []server
	for _, word := range strings.Fields(text) {
		id, zone, _ := strings.Cut(word, "/")
		has := func(mark string) bool { return strings.Contains(id, mark) }
		name := strings.Trim(id, "+*!%~<-?")
		servers = append(servers, server{
			ID: name, Zone: zone, Member: !has("+"), Voter: has("*"), Leader: name == "a", Alive: !has("!"), Heard: !has("!") && !has("%"), Lost: has("!!"),
			Steady: !has("!") && !has("~"), Wanted: !has("-"), Leaves: has("<"), Witness: has("?"),
		})
	}
	return servers
}

func TestMemberChanges(t *testing.T) {
	for _, test := range []struct {
		name, servers, want string
		voters              int
		held                bool
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
		{name: "the leader of three leaves", servers: "a*< b* c*", want: "c"},
		{name: "the leader leaves when another has died", servers: "a*< b*! c*", held: true},
		{name: "the leader leaves, and does not reach another", servers: "a*< b*% c*", held: true},
		{name: "one leaves when another has died", servers: "a* b*! c*<", want: "b -c"},
		{name: "fewer are to vote than have died", servers: "a*/x b*!/y c*!/z d*/x e*/x", voters: 3, held: true},
		{name: "fewer are to vote than have died long ago", servers: "a*/x b*!!/y c*!!/z d*/x e*/x", voters: 3, want: "b c"},
		{name: "one leaves before it is there", servers: "a* +b<"},

		{name: "two servers and a witness", servers: "a* b +c?", want: "c b* c*"},
		{name: "three servers do without the witness", servers: "a* b?* c* d", want: "d* b"},
		{name: "a witness in place of a dead server", servers: "a* b* c*!! d?", want: "d* c"},
		{name: "a witness in the third zone", servers: "a*/x b/x c*/y d*?/z"},

		{name: "a voter in each zone", servers: "a*/x b/x c/y d/z", want: "c* d*"},
		{name: "voters move into another zone", servers: "a*/x b*/x c*/y d/z", want: "d* b"},
		{name: "two zones", servers: "a*/x b*/x c*/y d/y"},
		{name: "one zone is gone", servers: "a*/x b/x c*/y d*!!/z", want: "b* d"},
	} {
		var got []string
		changes, held := memberChanges(seen(test.servers), test.voters)
		if held != test.held {
			t.Errorf("%s: held is %v", test.name, held)
		}
		for _, change := range changes {
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
	for _, test := range []struct{ servers, want, says string }{
		{"a*", "a leader", "a is the only server"},
		{"a* b", "a leader, b follower", "a votes alone: without it nothing can be written until covey promote is run on another server, which has a copy (b)."},
		{"a* b* c?*", "a leader, b voter, c witness", "One of the servers that vote may be lost."},
		{"a* b* c* d", "a leader, b voter, c voter, d follower", "One of the servers that vote may be lost. In place of one that is away for a minute another votes (d)."},
		{"a* b* c*!", "a leader, b voter, c voter", "None of the servers that vote may be lost"},
		{"a* b*! c*!", "a leader, b voter, c voter", "Nothing can be written"},
		{"a* b* c* d* e* +f", "a leader, b voter, c voter, d voter, e voter, f joining", "2 of the servers that vote may be lost."},
	} {
		var members []store.Member
		var alive []gossip.Member
		nodes := map[string]*corev1.Node{}
		for _, s := range seen(test.servers) {
			if s.Member {
				members = append(members, store.Member{ID: s.ID, Voter: s.Voter})
			}
			if s.Alive {
				alive = append(alive, gossip.Member{ID: s.ID, Name: s.ID, Witness: s.Witness, Addresses: []string{"192.0.2.1:7443"}})
			}
			nodes[s.ID] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.ID}}
		}
		status := describe(members, alive, nodes, "a")
		_, status.Summary = canLose(status.Members, "a")
		var got []string
		for _, m := range status.Members {
			got = append(got, m.Name+" "+m.Role)
		}
		if strings.Join(got, ", ") != test.want || !strings.HasPrefix(status.Summary, test.says) {
			t.Errorf("%s: %v, %q; want %s, %q", test.servers, got, status.Summary, test.want, test.says)
		}
	}
}

// TestStatusOfWhatIsNotThere: a node that is away stays in sight, whatever it was, and one that does not answer is not counted on.
func TestStatusOfWhatIsNotThere(t *testing.T) {
	nodes := map[string]*corev1.Node{"": {ObjectMeta: metav1.ObjectMeta{Name: "never ran"}}}
	for id, role := range map[string]string{"a": RoleServer, "w": RoleWorker, "s": RoleServer, "x": RoleWitness} {
		nodes[id] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: id, Annotations: map[string]string{roleAnnotation: role}}}
	}
	status := describe([]store.Member{{ID: "a", Voter: true}}, []gossip.Member{{ID: "a", Name: "a", Addresses: []string{"192.0.2.1:7443"}}}, nodes, "a")
	var got []string
	for _, m := range status.Members {
		got = append(got, fmt.Sprint(m.Name, " ", m.Role, " ", m.Alive))
	}
	if want := "a leader true, s server false, w worker false, x witness false"; strings.Join(got, ", ") != want {
		t.Errorf("%v; want %s", got, want)
	}

	for _, test := range []struct{ asked, silent, says string }{
		{"a", "b", "None of the servers that vote may be lost"},
		{"a", "b c", "Nothing can be written as far as a sees: b and c do not answer. Start what is missing (with --join, if all are at other addresses now), " +
			"or connect a with it again; if it is gone for good run covey recover on a."},
		{"w", "a b", "Nothing can be written as far as w sees: a and b do not answer."},
	} {
		var members []MemberStatus
		for _, name := range []string{"a", "b", "c"} {
			members = append(members, MemberStatus{Name: name, Voter: true, Alive: true, Silent: slices.Contains(strings.Fields(test.silent), name)})
		}
		if _, says := canLose(members, test.asked); !strings.HasPrefix(says, test.says) {
			t.Errorf("%s silent: %q; want %q", test.silent, says, test.says)
		}
	}
	oneWay := []MemberStatus{{Name: "a", Role: RoleLeader, Voter: true, Alive: true}, {Name: "b", Voter: true, Alive: true, Silent: true}, {Name: "c", Voter: true, Alive: true, Silent: true}}
	if n, says := canLose(oneWay, "w"); n != 0 || !strings.HasPrefix(says, "None of the servers that vote may be lost") {
		t.Errorf("the leader answers, and others do not: %d, %q", n, says)
	}
	_, says := canLose([]MemberStatus{{Name: "a", Voter: true}, {Name: "b", Role: RoleFollower, Alive: true}}, "b")
	if want := "if it is gone for good run covey promote on b."; !strings.HasSuffix(says, want) {
		t.Errorf("the one voter of two servers is gone: %q; want %q", says, want)
	}
}
