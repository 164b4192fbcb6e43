package raft

import (
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	// commitTimeout is how long after the last entry hashicorp/raft tells a follower, again and again, what is committed. A write
	// through a follower waits for that.
	commitTimeout = 5 * time.Millisecond
	// settleTime after something happened nothing is held back: what is committed by it is known to all by then.
	settleTime = 50 * time.Millisecond
	// lullMost is how long a message that says nothing new is held back, and calmLull how long it is where all is calm: see calm. Only
	// a server that was started anew needs it.
	lullMost, calmLull = time.Second, 10 * time.Second
)

// lull holds back the messages of a leader that only repeat what was acknowledged, which would otherwise be over a hundred a second
// to each server. They are sent all the same, in the end or as soon as there is news, and no answer is made up: a leader takes
// each for a proof that it still leads. Heartbeats are not held back.
type lull struct {
	mu   sync.Mutex
	news chan struct{} // closed and replaced when there is some
	last time.Time     // when there was some
	over bool
}

func newLull() *lull { return &lull{news: make(chan struct{})} }

// stir says that the log has grown, or that a server has acknowledged a part of it.
func (l *lull) stir() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.news)
	l.news, l.last = make(chan struct{}), time.Now()
}

// end lets everything through from now on.
func (l *lull) end() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.stir()
}

// wait returns when there is news, has just been some, or after most.
func (l *lull) wait(most time.Duration) {
	l.mu.Lock()
	news, lively := l.news, l.over || time.Since(l.last) < settleTime
	l.mu.Unlock()
	if lively {
		return
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-news:
	case <-timer.C:
	}
}

// saying is what a message tells a follower beside the entries that it brings.
type saying struct{ term, at, committed uint64 }

func sayingOf(r *hraft.AppendEntriesRequest) saying {
	return saying{term: r.Term, at: r.PrevLogEntry, committed: r.LeaderCommitIndex}
}

// replicate sends a message that is no heartbeat.
func (t *Transport) replicate(p *peer, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse, send func() error) error {
	says := sayingOf(args)
	if len(args.Entries) == 0 && t.acknowledged(p) == says {
		most := lullMost
		if t.isCalm(p, args.Term) {
			most = calmLull
		}
		t.lull.wait(most)
	}
	err := send()
	ok := err == nil && resp.Success
	if !ok {
		says = saying{}
	}
	t.mu.Lock()
	p.acknowledged = says
	t.mu.Unlock()
	if ok && len(args.Entries) > 0 {
		t.lull.stir()
	}
	return err
}

func (t *Transport) acknowledged(p *peer) saying {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.acknowledged
}
