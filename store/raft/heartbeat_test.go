package raft

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
)

func TestAHeartbeatIsSentAgainBesideOneThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{beats: make(chan struct{}, maxBeats)}
		const stall, roundTrip = 8 * time.Second, 600 * time.Millisecond
		var sent atomic.Int32
		send := func(resp *hraft.AppendEntriesResponse) error {
			n := sent.Add(1)
			time.Sleep(roundTrip)
			if n <= 3 {
				time.Sleep(stall)
				if n == 1 {
					return errors.New("timed out")
				}
			}
			resp.Term = uint64(n)
			return nil
		}
		var resp hraft.AppendEntriesResponse
		began := time.Now()
		if err := p.beat(beatInterval, send, &resp, func() {}); err != nil || resp.Term != 4 {
			t.Fatalf("answer %d, %v", resp.Term, err)
		}
		if took := time.Since(began); took != 3*beatInterval+roundTrip {
			t.Errorf("answered after %v", took)
		}
		time.Sleep(stall)
		synctest.Wait()
		if len(p.beats) != 0 {
			t.Errorf("%d heartbeats are under way", len(p.beats))
		}

		late := func(resp *hraft.AppendEntriesResponse) error { time.Sleep(staleAnswer + time.Second); return nil }
		if err := p.beat(beatInterval, late, &resp, func() {}); !errors.Is(err, errStale) {
			t.Errorf("a stale answer: %v", err)
		}
		synctest.Wait()
		time.Sleep(stall * 2)

		began = time.Now()
		sent.Store(0)
		if err := p.beat(beatInterval, func(*hraft.AppendEntriesResponse) error { sent.Add(1); return errors.New("refused") }, &resp, func() {}); err == nil {
			t.Error("no error of a server that is not there")
		}
		if took := time.Since(began); took != 0 || sent.Load() != 1 {
			t.Errorf("%d heartbeats failed within %v", sent.Load(), took)
		}
	})
}
