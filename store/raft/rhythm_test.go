package raft

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// calmTime is how long it takes until all is calm.
const calmTime = calmAfter*heartbeatTimeout/5 + calmBeat

// heartbeats counts the messages that a leader sends to each server at its whole calmBeats and at other times, within d.
func (w *wires) heartbeats(leader string, d time.Duration) (timely, others map[string]int) {
	began := time.Now()
	time.Sleep(d)
	timely, others = map[string]int{}, map[string]int{}
	for _, m := range w.sentSince(began) {
		switch {
		case m.from != leader:
		case m.at.Sub(w.nodes[leader].wakes)%calmBeat == 0:
			timely[m.to]++
		default:
			others[m.to]++
		}
	}
	return timely, others
}

func (w *wires) expectCalm(t *testing.T, leader string, servers ...string) {
	t.Helper()
	time.Sleep(calmTime + calmBeat/4)
	timely, others := w.heartbeats(leader, 2*calmLull)
	for _, id := range servers {
		if want := int(2 * calmLull / calmBeat); timely[id] != want || others[id] > 2 {
			t.Errorf("the calm leader %s sent %d messages to %s when it woke, want %d, and %d at other times, want one each %v", leader, timely[id], id, want, others[id], calmLull)
		}
	}
}

func TestACalmLeaderSendsItsHeartbeatsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "a", "b", "c")
		w.expectCalm(t, "a", "b", "c")

		w.setCut("c", true)
		time.Sleep(calmBeat + 2*calmPatience) // until it is noticed
		if timely, others := w.heartbeats("a", 2*time.Second); timely["b"]+others["b"] < int(2*time.Second/(heartbeatTimeout/5)) {
			t.Errorf("when a server does not answer, another is sent %d heartbeats in two seconds", timely["b"]+others["b"])
		}
		time.Sleep(silence)
		w.expectCalm(t, "a", "b")
		w.setCut("c", false)
		time.Sleep(transportTimeout)
		w.expectCalm(t, "a", "b", "c")
	})
}

func TestACalmLeaderIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "a", "b", "c")
		time.Sleep(calmTime)
		cutOff := func(id string, rest ...string) (next string) {
			t.Helper()
			w.setCut(id, true)
			began := time.Now()
			next = w.leader(t, rest...)
			if took := time.Since(began); took > heartbeatTimeout+time.Second {
				t.Errorf("%v led %v after %s was cut off", next, took, id)
			}
			if time.Sleep(heartbeatTimeout); w.nodes[id].Leads() {
				t.Errorf("%s leads though it is cut off", id)
			}
			return next
		}
		next := cutOff("a", "b", "c")
		w.setCut("a", false)
		time.Sleep(calmTime)
		rest := map[string][]string{"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}}
		cutOff(next, rest[next]...) // one that was a calm leader has to vote, or to be elected
	})
}

// TestACalmLeaderIsElectedAgain has it step down with an entry that nobody else has, so that nobody else can be elected.
func TestACalmLeaderIsElectedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "a", "b")
		time.Sleep(calmTime)
		fence, err := w.nodes["a"].WaitLeads(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.setCut("b", true)
		if _, err := w.nodes["a"].Propose(t.Context(), &Proposal{Fence: fence, Data: []byte{0}}); !errors.Is(err, ErrUnknown) {
			t.Fatalf("a proposal that nobody else hears of: %v", err)
		}
		w.setCut("b", false)
		began := time.Now()
		if w.leader(t, "a", "b"); time.Since(began) > 2*heartbeatTimeout {
			t.Errorf("it leads again after %v", time.Since(began))
		}
	})
}

func TestACalmLeaderGivesUpHandingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "a", "b", "c")
		time.Sleep(calmTime)
		w.setMute("c")
		began := time.Now()
		err := w.nodes["a"].HandOver(t.Context(), "c")
		if took := time.Since(began); err == nil || took > 2*heartbeatTimeout {
			t.Errorf("handing over to a server that nobody hears: %v, after %v", err, took)
		}
	})
}
