package raft

import (
	"errors"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	// beatInterval is how long a heartbeat waits for its answer before it is sent again, over another connection: on a link that
	// loses packets one connection may stand still for seconds, which must not cost the leadership.
	beatInterval = 200 * time.Millisecond
	// calmPatience is how long the first one waits where all is calm: until the process wakes anyway, see Config.Wakes.
	calmPatience = calmBeat / 2
	// staleAnswer is the age of a heartbeat whose answer is worth nothing any more: another server may have been elected since. A
	// leader takes each answer for a proof that none was, for reads too.
	staleAnswer = heartbeatTimeout - 500*time.Millisecond
	// maxBeats is how many are under way to one server at the most.
	maxBeats = 8
)

var errStale = errors.New("the answer came too late")

// peer is what the transport knows of another server.
type peer struct {
	beats        chan struct{} // holds one for each heartbeat that is under way
	contact      time.Time     // when it answered last
	acknowledged saying        // what it was told last, if it said so
	term         uint64        // of the last heartbeat
	prompt       int           // how many heartbeats of that term it has answered promptly in a row
	// Transport.mu guards all but beats.
}

func (t *Transport) peer(id hraft.ServerID) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[id]
	if p == nil {
		p = &peer{beats: make(chan struct{}, maxBeats)}
		t.peers[id] = p
	}
	return p
}

// Contact is when a server last answered this one, which is asked at least once a second by the leader and by nobody else; zero when it
// never did.
func (t *Transport) Contact(id string) time.Time {
	p := t.peer(hraft.ServerID(id))
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.contact
}

func (t *Transport) answered(p *peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.contact = time.Now()
}

// AppendEntries implements hraft.Transport.
func (t *Transport) AppendEntries(id hraft.ServerID, target hraft.ServerAddress, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	p := t.peer(id)
	send := func(resp *hraft.AppendEntriesResponse) error {
		return t.NetworkTransport.AppendEntries(id, target, args, resp)
	}
	var err error
	if isHeartbeat(args) {
		err = t.heartbeat(p, args.Term, resp, send)
	} else {
		err = t.replicate(p, args, resp, func() error { return send(resp) })
	}
	if err == nil {
		t.answered(p)
	}
	return err
}

// isHeartbeat is how hashicorp/raft tells them apart.
func isHeartbeat(r *hraft.AppendEntriesRequest) bool {
	return r.PrevLogEntry == 0 && r.PrevLogTerm == 0 && len(r.Entries) == 0 && r.LeaderCommitIndex == 0
}

// beat sends a heartbeat, after patience again and again, until one is answered, or one has failed and no other is under way.
// It calls late whenever it has waited in vain.
func (p *peer) beat(patience time.Duration, send func(*hraft.AppendEntriesResponse) error, resp *hraft.AppendEntriesResponse, late func()) error {
	type result struct {
		resp hraft.AppendEntriesResponse
		err  error
	}
	results, done := make(chan result), make(chan struct{})
	defer close(done)
	underWay := 0
	begin := func() {
		underWay++
		go func() { // which ends within transportTimeout
			defer func() { <-p.beats }()
			var r result
			began := time.Now()
			if r.err = send(&r.resp); r.err == nil && time.Since(began) > staleAnswer {
				r.err = errStale
			}
			select {
			case results <- r:
			case <-done:
			}
		}()
	}
	p.beats <- struct{}{}
	begin()
	again := time.NewTimer(patience)
	defer again.Stop()
	for {
		select {
		case r := <-results:
			if r.err == nil {
				*resp = r.resp
				return nil
			}
			again.Stop()
			if underWay--; underWay == 0 {
				return r.err
			}
		case <-again.C:
			again.Reset(beatInterval)
			late()
			select {
			case p.beats <- struct{}{}:
				begin()
			default:
			}
		}
	}
}
