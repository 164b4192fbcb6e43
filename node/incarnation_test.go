package node

import (
	"testing"

	"covey.dev/covey/node/gossip"
)

// TestAServerIsBelievedBeforeTheGossip has the gossip say of a server what it may, before and after that has said itself of which incarnation it is.
func TestAServerIsBelievedBeforeTheGossip(t *testing.T) {
	k := newKindred()
	asked := func() bool {
		select {
		case id := <-k.asked:
			k.done(id)
			return true
		default:
			return false
		}
	}
	for i, step := range []struct {
		answer, same bool // it has answered, and what
		said         bool
		kin, asked   bool
	}{
		{said: false, kin: false, asked: true},
		{said: true, kin: true, asked: true},
		{answer: true, same: true, said: true, kin: true, asked: false},
		{said: false, kin: true, asked: true}, // forged, or it was started again
		{answer: true, same: true, said: false, kin: true, asked: true},
		{answer: true, same: false, said: false, kin: false, asked: true},
		{answer: true, same: false, said: true, kin: true, asked: true},
	} {
		if step.answer {
			k.learn("a", step.same)
		}
		if kin, ask := k.is("a", step.said), asked(); kin != step.kin || ask != step.asked || k.has("a") != (step.kin && k.same["a"]) {
			t.Errorf("step %d: kin %t, asked %t", i, kin, ask)
		}
	}
	if k.is("b", false); !k.asking["b"] {
		t.Error("it is not asked")
	}
	if k.is("b", false); len(k.asked) != 1 {
		t.Error("it is asked twice at once")
	}
	for range 2 * mostAsked {
		k.done("b")
		k.is("b", false) // more than wait to be asked hold nobody up
	}
}

// TestAServerThatComesBackAsAWorkerIsOne, though its key has been a server's.
func TestAServerThatComesBackAsAWorkerIsOne(t *testing.T) {
	n := &node{base: &base{}, store: runningStore(t), kindred: newKindred()}
	self := n.store.Members()[0].ID
	for _, id := range []string{self, "has left"} {
		n.kindred.learn(id, true)
		if is := n.serves(gossip.Member{ID: id, Worker: true}); is != (id == self) {
			t.Errorf("%s, of which the gossip says that it is a worker, is a server: %t", id, is)
		}
	}
}

// TestAMemberThatLeavesSaysSoItself has the gossip take no other server out of Raft.
func TestAMemberThatLeavesSaysSoItself(t *testing.T) {
	for _, test := range []struct {
		server server
		want   bool
	}{
		{server{ID: "self", Member: true, Voter: true, Leader: true}, true},
		{server{ID: "other", Member: true, Voter: true}, false},
		{server{ID: "other", Member: true}, false},
		{server{ID: "other"}, true},
	} {
		if got := mayLeave(&test.server, "self"); got != test.want {
			t.Errorf("%+v: %t", test.server, got)
		}
	}
}
