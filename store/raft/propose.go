package raft

import (
	"context"
	"errors"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// Leading receives true when this server has become the leader and has applied all that was committed before, and false
// when it leads no longer. Only the newest news is kept: a true after a true means that leadership was lost in between.
func (n *Node) Leading() <-chan bool { return n.leading }

// Leads says whether this server leads and has applied all that was committed before it did.
func (n *Node) Leads() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leads()
}

// leads also asks Raft, whose news may still be on its way. The caller holds mu.
func (n *Node) leads() bool {
	return n.term != 0 && n.raft.State() == hraft.Leader && n.raft.CurrentTerm() == n.term
}

// WaitLeads returns once this server leads, with its fence. It returns ErrNotLeader as soon as another server is known to lead, and
// ctx's error when nobody came to lead before ctx ended.
func (n *Node) WaitLeads(ctx context.Context) (Fence, error) {
	for {
		n.mu.Lock()
		leads, closing, changed := n.leads(), n.closing, n.changed
		fence := Fence{Term: n.term, Epoch: n.epoch}
		n.mu.Unlock()
		if closing {
			return Fence{}, ErrClosed
		}
		if leads {
			return fence, nil
		}
		if _, leader := n.raft.LeaderWithID(); leader != "" && string(leader) != n.id {
			return Fence{}, ErrNotLeader
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if failure := n.log.failure.Load(); failure != nil {
				return Fence{}, fmt.Errorf("wait for a leader: %w; the last write of the Raft log failed: %w", context.Cause(ctx), *failure)
			}
			return Fence{}, fmt.Errorf("wait for a leader: %w", context.Cause(ctx))
		}
	}
}

// WaitLeader returns the ID of the server that leads once there is one; "" and its fence when it is this one, which has then
// applied all that was committed before.
func (n *Node) WaitLeader(ctx context.Context) (string, Fence, error) {
	fence, err := n.WaitLeads(ctx)
	if !errors.Is(err, ErrNotLeader) {
		return "", fence, err
	}
	_, leader := n.raft.LeaderWithID()
	if leader == "" || string(leader) == n.id {
		return n.WaitLeader(ctx) // it has moved on
	}
	return string(leader), Fence{}, nil
}

// VerifyLeads waits like WaitLeads, then makes sure that no other server has come to lead in the meantime. What this
// server has applied then includes every entry that any server had applied before the call. It writes nothing.
func (n *Node) VerifyLeads(ctx context.Context) (Fence, error) {
	fence, err := n.WaitLeads(ctx)
	if err != nil {
		return Fence{}, err
	}
	index := n.raft.CommitIndex()
	// Nobody else can be elected where there is one voter.
	if !n.onlyVoter() || n.raft.State() != hraft.Leader {
		if err := n.await(ctx, func() error { return n.raft.VerifyLeader().Error() }); err != nil {
			return Fence{}, err
		}
	}
	return fence, n.reach(ctx, index)
}

// reach waits until this server has applied everything up to index, which is committed, and behind the mark of a term, so that
// the machine is handed it.
func (n *Node) reach(ctx context.Context, index uint64) error {
	for {
		more := n.tracker.reached(index)
		if more == nil {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ReachCommitted waits until this server has applied what is committed, if it leads. It does not wait until it does.
func (n *Node) ReachCommitted(ctx context.Context) error {
	index := n.raft.CommitIndex() // first: if it leads then, there is a mark behind what may come before one
	if !n.Leads() {
		return nil
	}
	return n.reach(ctx, index)
}

// Propose replicates the proposal, if this server leads and its fence is the proposal's, and returns its index and the machine's
// answer once it is applied here. Errors: ErrNotLeader and ErrNotWritten (it is not in the log), ErrUnknown, ErrClosed and ctx's
// (it may or may not be).
func (n *Node) Propose(ctx context.Context, p *Proposal) (index uint64, err error) {
	var future hraft.ApplyFuture
	err = n.await(ctx, func() error {
		f, err := n.enqueue(p)
		if err != nil {
			return err
		}
		future = f
		return outcome(f.Error())
	})
	if err != nil {
		return 0, err
	}
	answer, _ := future.Response().(error)
	return future.Index(), answer
}

func (n *Node) enqueue(p *Proposal) (hraft.ApplyFuture, error) {
	n.gate.RLock()
	defer n.gate.RUnlock()
	n.mu.Lock()
	open := n.leads() && p.Fence == Fence{Term: n.term, Epoch: n.epoch}
	n.mu.Unlock()
	if !open {
		return nil, ErrNotLeader
	}
	return n.raft.ApplyLog(hraft.Log{Data: p.Data, Extensions: p.extension()}, enqueueTimeout), nil
}

// CloseFence has no proposal of that fence get into the log any more that has not yet, which each server knows when it has applied
// the mark that this puts there. Only the leader can; a fence of a former term is closed already, and gets a mark all the same.
func (n *Node) CloseFence(ctx context.Context, fence Fence) error {
	if _, err := n.WaitLeads(ctx); err != nil {
		return err
	}
	n.gate.Lock()
	n.mu.Lock()
	if fence == (Fence{Term: n.term, Epoch: n.epoch}) {
		n.epoch++
	}
	now := Fence{Term: n.term, Epoch: n.epoch}
	n.mu.Unlock()
	n.gate.Unlock()
	return n.await(ctx, func() error { return n.mark(now) })
}

// mark puts the beginning of a fence into the log, and waits until it is applied here.
func (n *Node) mark(f Fence) error {
	return n.raft.ApplyLog(hraft.Log{Data: n.empty, Extensions: f.extension()}, enqueueTimeout).Error()
}

// await runs fn, which cannot be cancelled, and returns its error or ctx's, whichever comes first.
func (n *Node) await(ctx context.Context, fn func() error) error {
	n.mu.Lock()
	if n.closing {
		n.mu.Unlock()
		return ErrClosed
	}
	n.inFlight.Add(1)
	n.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		defer n.inFlight.Done()
		done <- fn()
	}()
	select {
	case err := <-done:
		return translate(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// outcome marks the errors of a proposal that come from the disk.
func outcome(err error) error {
	switch {
	case err == nil, errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrLeadershipTransferInProgress),
		errors.Is(err, hraft.ErrLeadershipLost):
		return err
	case errors.Is(err, hraft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrUnknown, ErrClosed)
	case errors.Is(err, hraft.ErrEnqueueTimeout):
		return fmt.Errorf("%w, the disk may be full or hanging: %w", ErrNotWritten, err)
	}
	return fmt.Errorf("%w: %w", ErrNotWritten, err)
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrLeadershipTransferInProgress), errors.Is(err, ErrNotLeader):
		return ErrNotLeader
	case errors.Is(err, hraft.ErrLeadershipLost):
		return ErrUnknown
	case errors.Is(err, hraft.ErrRaftShutdown):
		return ErrClosed
	case errors.Is(err, ErrNotWritten), errors.Is(err, ErrUnknown):
		return err
	}
	return fmt.Errorf("write the Raft log: %w", err)
}

// IsCurrent says whether this server has every acknowledged write though it may not lead at the moment: it is the only voter,
// so nobody else can have been elected, and has led since it was started.
func (n *Node) IsCurrent() bool {
	n.mu.Lock()
	caughtUp, closing := n.caughtUp, n.closing
	n.mu.Unlock()
	return caughtUp && !closing && n.onlyVoter()
}
