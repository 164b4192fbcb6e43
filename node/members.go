package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/store"
)

// memberRetry is how long after a failure the members are looked at again.
const memberRetry = time.Second

// term is what this node does while it leads.
func (n *node) term(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.scheduler.Run(ctx) })
	g.Go(func() error { return n.keepMembers(ctx) })
	g.Go(func() error { return n.keepReadiness(ctx) })
	return g.Wait()
}

// keepMembers lets every server that is alive hold a replica, and the right number of them vote.
func (n *node) keepMembers(ctx context.Context) error {
	for {
		changed := n.gossip.Changed()
		var again <-chan time.Time
		if err := n.settleMembers(ctx); errors.Is(err, store.ErrNotLeader) {
			return err
		} else if err != nil && ctx.Err() == nil {
			n.log.Warn("the servers' part in Raft was not settled", "error", err)
			again = time.After(memberRetry)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *node) settleMembers(ctx context.Context) error {
	var alive []string
	for _, m := range n.gossip.Members() {
		alive = append(alive, m.ID)
	}
	for _, change := range memberChanges(n.store.Members(), alive) {
		n.log.Info("a server's part in Raft changes", "id", change.ID, "voter", change.Voter)
		if err := n.store.AddMember(ctx, change.ID, change.Voter); err != nil {
			return fmt.Errorf("server %s: %w", change.ID, err)
		}
	}
	return nil
}

// memberChanges says who is to be added, or to vote: every server that is alive holds a replica, and the greatest odd number
// of them votes, at most 3, from 7 servers up 5. Two servers have one voter: the loss of the other one then stops nothing.
func memberChanges(members []store.Member, alive []string) []store.Member {
	var changes []store.Member
	voters := 0
	for _, m := range members {
		if m.Voter {
			voters++
		}
	}
	servers := len(members)
	for _, id := range alive {
		if !slices.ContainsFunc(members, func(m store.Member) bool { return m.ID == id }) {
			servers++
			changes = append(changes, store.Member{ID: id})
			members = append(members[:len(members):len(members)], store.Member{ID: id})
		}
	}
	var candidates []store.Member
	for _, m := range members {
		if !m.Voter && slices.Contains(alive, m.ID) {
			candidates = append(candidates, store.Member{ID: m.ID, Voter: true})
		}
	}
	more := max(0, min(wantedVoters(servers)-voters, len(candidates)))
	if more > 0 && (voters+more)%2 == 0 {
		more-- // an even number tolerates no more losses than one less
	}
	return append(changes, candidates[:more]...)
}

func wantedVoters(servers int) int {
	switch {
	case servers >= 7:
		return 5
	case servers >= 3:
		return 3
	}
	return 1
}
