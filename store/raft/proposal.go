package raft

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
)

// Fence says how long a proposal may get into the log: while Term is led, and until the fence is closed for the Epoch-th
// time in that term. Each fence begins with a mark in the log. Terms never fall along the log, so a server that has applied a newer
// mark than a proposal's fence, and not the proposal, knows that it never will.
type Fence struct{ Term, Epoch uint64 }

// Before says that a mark of g shuts out the proposals of f.
func (f Fence) Before(g Fence) bool {
	return f.Term < g.Term || f.Term == g.Term && f.Epoch < g.Epoch
}

// ID names a proposal: eight random bytes of the process that made it, and its number there.
type ID [16]byte

// Proposal is data for the log.
type Proposal struct {
	ID    ID
	Fence Fence
	Data  []byte
}

// What an entry carries besides its data: the only term that it counts in, behind that a proposal its ID, a mark its epoch. Numbers
// are eight bytes, big endian. Entries of older versions of covey carry nothing.
const (
	termSize          = 8
	proposalExtension = termSize + len(ID{})
	markExtension     = termSize + 8
)

func (p *Proposal) extension() []byte {
	return append(binary.BigEndian.AppendUint64(nil, p.Fence.Term), p.ID[:]...)
}

func (f Fence) extension() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, f.Term), f.Epoch)
}

// late says that an entry got into another term than it was made for, so that it changes nothing anywhere.
func late(extension []byte, term uint64) bool {
	return len(extension) >= termSize && binary.BigEndian.Uint64(extension) != term
}

// tracker follows what this server applies, for those who wait for it.
type tracker struct {
	mu      sync.Mutex
	process [8]byte
	made    uint64
	tracked map[ID]*Tracked
	mark    Fence         // the newest that was applied here
	applied uint64        // index of the last entry that was
	more    chan struct{} // closed and replaced when it rises; nil while nobody waits
}

func newTracker() *tracker {
	t := &tracker{tracked: map[ID]*Tracked{}}
	_, _ = rand.Read(t.process[:]) // never fails
	return t
}

// Tracked is a proposal whose fate this server learns from what it applies itself.
type Tracked struct {
	Proposal
	tracker *tracker
	decided chan struct{}
	index   uint64
	err     error
}

// Track gives data an ID, and begins to look for it. Forget ends that.
func (n *Node) Track(fence Fence, data []byte) *Tracked {
	t := n.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made++
	p := &Tracked{Proposal: Proposal{Fence: fence, Data: data}, tracker: t, decided: make(chan struct{})}
	copy(p.ID[:], t.process[:])
	binary.BigEndian.PutUint64(p.ID[len(t.process):], t.made)
	t.tracked[p.ID] = p
	if fence.Before(t.mark) {
		t.decide(p, 0, ErrNotLeader)
	}
	return p
}

// Forget is to be called when the fate is of no more interest.
func (p *Tracked) Forget() {
	p.tracker.mu.Lock()
	defer p.tracker.mu.Unlock()
	delete(p.tracker.tracked, p.ID)
}

// Decided is closed when Fate can be asked.
func (p *Tracked) Decided() <-chan struct{} { return p.decided }

// Fate is what Propose would have returned: the proposal's index and the machine's answer once it is applied here;
// ErrNotLeader when it never will be; ErrUnknown when this server was so far behind that it was sent a snapshot instead of the log.
func (p *Tracked) Fate() (index uint64, err error) { return p.index, p.err }

func (t *tracker) decide(p *Tracked, index uint64, err error) {
	p.index, p.err = index, err
	close(p.decided)
	delete(t.tracked, p.ID)
}

// follow takes note of an entry that was applied, with the machine's answer.
func (t *tracker) follow(index, term uint64, extension []byte, answer error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case late(extension, term):
	case len(extension) == proposalExtension:
		if p := t.tracked[ID(extension[termSize:])]; p != nil {
			t.decide(p, index, answer)
		}
	case len(extension) == markExtension:
		t.mark = Fence{Term: term, Epoch: binary.BigEndian.Uint64(extension[termSize:])}
		for _, p := range t.tracked {
			if p.Fence.Before(t.mark) {
				t.decide(p, 0, ErrNotLeader)
			}
		}
	}
	t.applied = index
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
}

// jump takes note that the state was replaced: what came before may hold any of the proposals.
func (t *tracker) jump() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.tracked {
		t.decide(p, 0, ErrUnknown)
	}
}

// reached returns nil when everything up to index is applied, or what to wait for before asking again.
func (t *tracker) reached(index uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.applied >= index {
		return nil
	}
	if t.more == nil {
		t.more = make(chan struct{})
	}
	return t.more
}
