package raft

import (
	"errors"
	"testing"
)

func TestFateOfAProposal(t *testing.T) {
	refused := errors.New("refused by the machine")
	proposed := Fence{Term: 4, Epoch: 1}
	for _, test := range []struct {
		name string
		then func(*tracker, *Tracked)
		want error
	}{
		{"applied", func(t *tracker, p *Tracked) { t.follow(7, 4, p.extension(), nil) }, nil},
		{"refused", func(t *tracker, p *Tracked) { t.follow(7, 4, p.extension(), refused) }, refused},
		{"in another term", func(t *tracker, p *Tracked) {
			t.follow(7, 5, p.extension(), nil)
			t.follow(8, 5, Fence{Term: 5}.extension(), nil)
		}, ErrNotLeader},
		{"the fence is closed", func(t *tracker, _ *Tracked) { t.follow(7, 4, Fence{Term: 4, Epoch: 2}.extension(), nil) }, ErrNotLeader},
		{"a mark of its own fence first", func(t *tracker, p *Tracked) {
			t.follow(7, 4, proposed.extension(), nil)
			t.follow(8, 4, p.extension(), nil)
		}, nil},
		{"a mark in another term than it was made for", func(t *tracker, p *Tracked) {
			t.follow(7, 4, Fence{Term: 3, Epoch: 2}.extension(), nil)
			t.follow(8, 4, p.extension(), nil)
		}, nil},
		{"a snapshot", func(t *tracker, _ *Tracked) { t.jump() }, ErrUnknown},
	} {
		n := &Node{tracker: newTracker()}
		p := n.Track(proposed, nil)
		test.then(n.tracker, p)
		select {
		case <-p.Decided():
			if _, err := p.Fate(); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
		default:
			t.Errorf("%s: nothing is decided", test.name)
		}
	}
	n := &Node{tracker: newTracker()}
	n.tracker.follow(7, 5, Fence{Term: 5}.extension(), nil)
	if _, err := n.Track(proposed, nil).Fate(); !errors.Is(err, ErrNotLeader) {
		t.Errorf("one for a fence that is known to be closed: %v", err)
	}
}
