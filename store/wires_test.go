package store

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// wires is the network between the servers of a test. It can cut, lose and delay, in one direction, and bring a message long after its
// sender has given up, but never twice. The zero value does nothing of that.
type wires struct {
	mu    sync.Mutex
	cut   map[[2]string]bool // from, to
	loss  float64            // of 1
	delay time.Duration      // at most
}

var errLost = errors.New("lost on the way")

// lostAfter is how long a sender waits for an answer that does not come.
const lostAfter = 30 * time.Millisecond

// fail sets what is wrong from now on.
func (w *wires) fail(loss float64, delay time.Duration, cut ...[2]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss, w.delay, w.cut = loss, delay, map[[2]string]bool{}
	for _, c := range cut {
		w.cut[c] = true
	}
}

// pass takes as long as a message does, and returns errLost if it does not arrive.
func (w *wires) pass(from, to string) error {
	w.mu.Lock()
	lost, delay := w.cut[[2]string{from, to}] || rand.Float64() < w.loss, w.delay
	w.mu.Unlock()
	switch {
	case lost:
		time.Sleep(lostAfter)
		return errLost
	case delay > 0:
		time.Sleep(rand.N(delay))
	}
	return nil
}

// call carries a question and its answer.
func (w *wires) call(from, to string, ask func() error) error {
	if err := w.pass(from, to); err != nil {
		return err
	}
	if err := ask(); err != nil {
		return err
	}
	return w.pass(to, from)
}

// faulty is a server's Raft over wires.
type faulty struct {
	*hraft.InmemTransport
	wires *wires
}

func (f faulty) call(to hraft.ServerID, ask func() error) error {
	return f.wires.call(string(f.LocalAddr()), string(to), ask)
}

func (f faulty) AppendEntriesPipeline(hraft.ServerID, hraft.ServerAddress) (hraft.AppendPipeline, error) {
	return nil, hraft.ErrPipelineReplicationNotSupported
}

func (f faulty) AppendEntries(id hraft.ServerID, to hraft.ServerAddress, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	return f.call(id, func() error { return f.InmemTransport.AppendEntries(id, to, args, resp) })
}

func (f faulty) RequestVote(id hraft.ServerID, to hraft.ServerAddress, args *hraft.RequestVoteRequest, resp *hraft.RequestVoteResponse) error {
	return f.call(id, func() error { return f.InmemTransport.RequestVote(id, to, args, resp) })
}

func (f faulty) RequestPreVote(id hraft.ServerID, to hraft.ServerAddress, args *hraft.RequestPreVoteRequest, resp *hraft.RequestPreVoteResponse) error {
	return f.call(id, func() error { return f.InmemTransport.RequestPreVote(id, to, args, resp) })
}

func (f faulty) InstallSnapshot(id hraft.ServerID, to hraft.ServerAddress, args *hraft.InstallSnapshotRequest, resp *hraft.InstallSnapshotResponse, data io.Reader) error {
	return f.call(id, func() error { return f.InmemTransport.InstallSnapshot(id, to, args, resp, data) })
}

// caller is the Peers of a server.
type caller struct {
	*cluster
	from string
}

func (c caller) ask(to string, ask func(*Store) error) error {
	return c.wires.call(c.from, to, func() error {
		if s := c.get(to); s != nil {
			return ask(s)
		}
		return ErrNotLeader
	})
}

// Propose may have a proposal arrive when it has long been given up.
func (c caller) Propose(ctx context.Context, server string, p *Proposal) (uint64, error) {
	propose := func(ctx context.Context) (uint64, error) {
		if s := c.get(server); s != nil {
			return s.ServePropose(ctx, p)
		}
		return 0, ErrNotLeader
	}
	if c.wires.pass(c.from, server) != nil {
		go func() {
			time.Sleep(rand.N(500 * time.Millisecond))
			_, _ = propose(context.Background())
		}()
		return 0, errLost
	}
	revision, err := propose(ctx)
	if c.answered != nil {
		c.answered(p)
	}
	if err != nil {
		return 0, err
	}
	return revision, c.wires.pass(server, c.from)
}

func (c caller) ReadRevision(ctx context.Context, server string) (revision uint64, f Fence, err error) {
	err = c.ask(server, func(s *Store) error { revision, f, err = s.ServeReadRevision(ctx); return err })
	return revision, f, err
}

func (c caller) CloseFence(ctx context.Context, server string, f Fence) error {
	return c.ask(server, func(s *Store) error { return s.ServeCloseFence(ctx, f) })
}
