package raft

import (
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
)

// TestWhatIsKnownIsNotSaidAgain has a leader repeat a message, as hashicorp/raft does.
func TestWhatIsKnownIsNotSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &Transport{lull: newLull()}
		p := &peer{}
		answer, sent := true, 0
		say := func(args hraft.AppendEntriesRequest) (after time.Duration) {
			t.Helper()
			began := time.Now()
			var resp hraft.AppendEntriesResponse
			if err := transport.replicate(p, &args, &resp, func() error {
				sent++
				resp.Success = answer
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		old := hraft.AppendEntriesRequest{Term: 1, PrevLogEntry: 7, LeaderCommitIndex: 7}
		fresh := old
		fresh.LeaderCommitIndex = 8
		at := func(what string, got, want time.Duration) {
			t.Helper()
			if got != want {
				t.Errorf("%s went out after %v, want %v", what, got, want)
			}
		}
		answer = false
		at("the first", say(old), 0)
		answer = true
		at("what was refused", say(old), 0)
		at("what is known", say(old), lullMost)
		at("what is new", say(fresh), 0)
		time.AfterFunc(100*time.Millisecond, transport.lull.stir)
		at("what is known when the log grows", say(fresh), 100*time.Millisecond)
		at("what is known shortly after", say(fresh), 0)
		time.Sleep(settleTime)
		entries := fresh
		entries.Entries = []*hraft.Log{{Index: 9}}
		at("an entry", say(entries), 0)
		at("what follows an entry", say(fresh), 0)
		time.Sleep(settleTime)
		transport.lull.end()
		at("what is known when Raft ends", say(fresh), 0)
		if sent != 9 {
			t.Errorf("%d were sent, want all 9", sent)
		}
	})
}
