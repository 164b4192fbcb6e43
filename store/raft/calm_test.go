package raft

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
)

// TestHeartbeatsAreFurtherApartWhileAllIsCalm sends them as hashicorp/raft does, some time after the last one was answered.
func TestHeartbeatsAreFurtherApartWhileAllIsCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &Transport{lull: newLull(), calm: newCalm(), peers: map[hraft.ServerID]*peer{}}
		p, term := transport.peer("n2"), uint64(1)
		const interval = heartbeatTimeout / 10
		var last time.Time
		// beat returns how long after the last heartbeat was sent another one is.
		beat := func(roundTrip time.Duration, fails error) (after time.Duration) {
			time.Sleep(interval)
			var resp hraft.AppendEntriesResponse
			first := true
			_ = transport.heartbeat(p, term, &resp, func(*hraft.AppendEntriesResponse) error {
				if first {
					first, after, last = false, time.Since(last), time.Now()
				}
				time.Sleep(roundTrip)
				return fails
			})
			return after
		}
		calmDown := func() {
			t.Helper()
			for range calmAfter {
				beat(time.Millisecond, nil)
			}
			beat(time.Millisecond, nil)
			for range 5 {
				if after := beat(time.Millisecond, nil); after != calmBeat {
					t.Fatalf("while all is calm they are %v apart", after)
				}
			}
		}
		notCalm := func(why string) {
			t.Helper()
			if after := beat(time.Millisecond, nil); after > 2*interval {
				t.Errorf("after %s one is held back for %v", why, after)
			}
		}
		calmDown()
		beat(promptAnswer+time.Millisecond, nil)
		notCalm("a slow answer")
		calmDown()
		p.acknowledged = saying{term: term, at: 7, committed: 7}
		beat(0, errors.New("connection reset"))
		if p.acknowledged != (saying{}) {
			t.Error("what a server knew that was started anew is not said again")
		}
		notCalm("an error")
		calmDown()
		term++
		beat(time.Millisecond, nil)
		notCalm("a change of the term")
		calmDown()

		transport.calm.hurry()
		transport.calm.hurry()
		transport.calm.rest()
		if after := beat(time.Millisecond, nil); after != interval+time.Millisecond {
			t.Errorf("a read waits for one that is sent after %v", after)
		}
		transport.calm.rest()
		beat(time.Millisecond, nil)
		time.AfterFunc(interval+100*time.Millisecond, transport.release)
		if after := beat(time.Millisecond, nil); after != interval+101*time.Millisecond {
			t.Errorf("one that is held back is released after %v", after)
		}
	})
}
