package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// memberRetry is how long after a failure the members are looked at again.
	memberRetry = time.Second
	// catchUpTimeout bounds the wait for a server to have what the leader has before it is given a vote.
	catchUpTimeout = 5 * time.Second
)

// term is what this node does while it leads.
func (n *node) term(ctx context.Context) error {
	n.leading = time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.scheduler.Run(ctx) })
	g.Go(func() error { return n.autoscaler.Run(ctx) })
	g.Go(func() error { return n.keepSystemObjects(ctx) })
	g.Go(func() error { return n.keepMembers(ctx) })
	g.Go(func() error { return n.keepReadiness(ctx) })
	g.Go(func() error { return n.keepKeys(ctx) })
	g.Go(func() error { return n.keepProtocol(ctx) })
	g.Go(func() error { return n.removeExpired(ctx) })
	return g.Wait()
}

// members is the leader's work on who holds a replica and who votes.
type members struct {
	mu       sync.Mutex // held while they are changed
	presence *presence
	leaving  map[string]bool // servers that asked to go
}

// keepMembers lets every server that is alive hold a replica and the right number of them vote, and takes out a dead one
// whose Node object was deleted.
func (n *node) keepMembers(ctx context.Context) error {
	n.members.begin()
	return n.whileNodesChange(ctx, "the servers' part in Raft was not settled", n.settleMembers)
}

// begin forgets what an earlier term knew.
func (m *members) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.presence, m.leaving = newPresence(), map[string]bool{}
}

// settleMembers returns after what time to look again even if nothing changes; 0 is never.
func (n *node) settleMembers(ctx context.Context) (time.Duration, error) {
	n.members.mu.Lock()
	defer n.members.mu.Unlock()
	slow := map[string]bool{} // servers that have not caught up, so that others vote instead
	for {
		servers, doubtful := n.servers(ctx)
		wait := n.members.presence.judge(servers, time.Now())
		for i := range servers {
			servers[i].Steady = servers[i].Steady && !slow[servers[i].ID]
		}
		changes, held := memberChanges(servers, n.cfg.Voters)
		behind, err := n.changeMembers(ctx, changes)
		switch {
		case err != nil:
			return 0, err
		case behind != "":
			slow[behind] = true
		case len(slow) > 0 || doubtful || held:
			return memberRetry, nil
		default:
			return wait, nil
		}
	}
}

// changeMembers stops at a server that was to be given a vote and has not caught up, and returns its ID.
func (n *node) changeMembers(ctx context.Context, changes []memberChange) (behind string, err error) {
	for _, change := range changes {
		if change.Voter {
			if err := n.awaitCaughtUp(ctx, change.ID); err != nil {
				n.log.Info("a server is not given a vote: it has not caught up", "id", change.ID, "error", err)
				return change.ID, nil
			}
		}
		if err := n.changeMember(ctx, change); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (n *node) awaitCaughtUp(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	return n.peers.AwaitRevision(ctx, id, n.store.Snapshot().Revision())
}

func (n *node) changeMember(ctx context.Context, change memberChange) (err error) {
	n.log.Info("a server's part in Raft changes", "id", change.ID, "voter", change.Voter, "removed", change.Remove)
	if change.Remove {
		err = n.store.RemoveMember(ctx, change.ID)
	} else {
		err = n.store.AddMember(ctx, change.ID, change.Voter)
	}
	if err != nil {
		return fmt.Errorf("server %s: %w", change.ID, err)
	}
	return nil
}
