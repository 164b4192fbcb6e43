package raft

import (
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	// promptAnswer is how long the answer to a heartbeat takes at most where all is calm.
	promptAnswer = beatInterval / 2
	// calmAfter is how many answers in a row must have been prompt. Where every fifth packet is lost that does not happen.
	calmAfter = 20
	// silence of a server is that of one which is off, and for the sake of which the others need not be asked more often.
	silence = 10 * time.Second
)

// calm says whether one of these servers at least has always answered promptly of late, in that term, and all others have too, or have
// not answered at all.
func (t *Transport) calm(term uint64, servers []string) bool {
	calm := 0
	for _, id := range servers {
		switch p := t.peer(hraft.ServerID(id)); {
		case t.isCalm(p, term):
			calm++
		case time.Since(t.Contact(id)) < silence:
			return false
		}
	}
	return calm > 0
}

// heartbeat sends a heartbeat.
func (t *Transport) heartbeat(p *peer, term uint64, resp *hraft.AppendEntriesResponse, send func(*hraft.AppendEntriesResponse) error) error {
	patience := beatInterval
	if t.isCalm(p, term) {
		patience = calmPatience
	}
	began := time.Now()
	err := p.beat(patience, send, resp, func() { t.judge(p, false) })
	t.judge(p, err == nil && time.Since(began) <= promptAnswer)
	return err
}

// isCalm says whether a server has always answered promptly of late, in that term.
func (t *Transport) isCalm(p *peer, term uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.term != term {
		p.term, p.prompt = term, 0
	}
	return p.prompt >= calmAfter
}

// judge takes note of whether a heartbeat was answered promptly. A server that no longer does may have been started anew, and know
// nothing of what it acknowledged.
func (t *Transport) judge(p *peer, prompt bool) {
	before, after := t.tally(p, prompt)
	if before && !after {
		t.lull.stir()
	}
	if before != after {
		select {
		case t.turned <- struct{}{}:
		default:
		}
	}
}

// tally says whether all was calm before, and is after it.
func (t *Transport) tally(p *peer, prompt bool) (before, after bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before = p.prompt >= calmAfter
	if prompt {
		p.prompt++
	} else {
		p.prompt = 0
	}
	if after = p.prompt >= calmAfter; before && !after {
		p.acknowledged = saying{}
	}
	return before, after
}
