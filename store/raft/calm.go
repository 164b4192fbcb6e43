package raft

import (
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	// calmBeat is how far apart heartbeats to a server are while all is calm: hashicorp/raft has one every 250 to 500 ms. A server
	// that misses one still has the time to be sent others before it stands for election.
	calmBeat = time.Second
	// promptAnswer is how long the answer to a heartbeat takes at most where all is calm.
	promptAnswer = beatInterval / 2
	// calmAfter is how many answers in a row must have been prompt. Where every fifth packet is lost that does not happen.
	calmAfter = 20
)

// calm holds back the heartbeats to servers that answer promptly, to whole seconds, so that a leader wakes once for all. It is as sure to
// lead as without: a heartbeat is held before it is sent, so an answer is never older than it would be; the last one is always
// far younger than the lease; and one that a read waits for is not held.
type calm struct {
	mu    sync.Mutex
	asked int           // how many wait for a heartbeat's answer
	now   chan struct{} // closed while there are some
}

func newCalm() *calm { return &calm{now: make(chan struct{})} }

// hurry lets heartbeats through until as many calls of rest have come.
func (c *calm) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked++; c.asked == 1 {
		close(c.now)
	}
}

func (c *calm) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked--; c.asked == 0 {
		c.now = make(chan struct{})
	}
}

// wait returns with the next calmBeat, or when there is a hurry.
func (c *calm) wait() {
	c.mu.Lock()
	now := c.now
	c.mu.Unlock()
	timer := time.NewTimer(calmBeat - time.Duration(time.Now().UnixNano())%calmBeat)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-now:
	}
}

// heartbeat sends a heartbeat, a little later while all is calm.
func (t *Transport) heartbeat(p *peer, term uint64, resp *hraft.AppendEntriesResponse, send func(*hraft.AppendEntriesResponse) error) error {
	if t.isCalm(p, term) {
		t.calm.wait()
	}
	began := time.Now()
	err := p.beat(send, resp)
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
	t.mu.Lock()
	defer t.mu.Unlock()
	if prompt {
		p.prompt++
		return
	}
	if p.prompt >= calmAfter {
		p.acknowledged = saying{}
		t.lull.stir()
	}
	p.prompt = 0
}

// release has what is held back sent at once.
func (t *Transport) release() {
	t.lull.stir()
	t.calm.hurry()
	t.calm.rest()
}
