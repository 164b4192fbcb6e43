package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/store"
)

const (
	// memberRetry is how long after a failure the members are looked at again.
	memberRetry = time.Second
	// replaceAfter is how long a voter is away before another server votes in its place.
	replaceAfter = time.Minute
)

// term is what this node does while it leads.
func (n *node) term(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.scheduler.Run(ctx) })
	g.Go(func() error { return n.autoscaler.Run(ctx) })
	g.Go(func() error { return n.keepSystemObjects(ctx) })
	g.Go(func() error { return n.keepMembers(ctx) })
	g.Go(func() error { return n.keepReadiness(ctx) })
	return g.Wait()
}

// keepMembers lets every server that is alive hold a replica and the right number of them vote, and takes out a dead one
// whose Node object was deleted.
func (n *node) keepMembers(ctx context.Context) error {
	nodes := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.signalNodes(ctx, nodes) })
	g.Go(func() error {
		deadSince := map[string]time.Time{}
		for {
			changed := n.gossip.Changed()
			wait, err := n.settleMembers(ctx, deadSince)
			if errors.Is(err, store.ErrNotLeader) {
				return err
			} else if err != nil && ctx.Err() == nil {
				n.log.Warn("the servers' part in Raft was not settled", "error", err)
				wait = memberRetry
			}
			var again <-chan time.Time
			if wait > 0 {
				again = time.After(wait)
			}
			select {
			case <-changed:
			case <-nodes:
			case <-again:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return g.Wait()
}

// settleMembers returns after what time to look again even if nothing changes; 0 is never.
func (n *node) settleMembers(ctx context.Context, deadSince map[string]time.Time) (time.Duration, error) {
	seen := view{leader: n.identity.NodeID(), names: n.names()}
	members := n.store.Members()
	doubtful := false
	for _, m := range n.gossip.Members() {
		switch {
		case m.Worker:
		case n.isServer(ctx, m.ID, members):
			seen.alive = append(seen.alive, m.ID)
		default:
			doubtful = true
		}
	}
	var wait time.Duration
	seen.dead, wait = longDead(members, seen.alive, deadSince, time.Now())
	for _, change := range memberChanges(members, seen) {
		n.log.Info("a server's part in Raft changes", "id", change.ID, "voter", change.Voter, "removed", change.Remove)
		var err error
		if change.Remove {
			err = n.store.RemoveMember(ctx, change.ID)
		} else {
			err = n.store.AddMember(ctx, change.ID, change.Voter)
		}
		if err != nil {
			return 0, fmt.Errorf("server %s: %w", change.ID, err)
		}
	}
	if doubtful {
		wait = memberRetry
	}
	return wait, nil
}

// isServer looks at the certificate of a node that says to be a server before it becomes a member: one that only says so would
// be handed nothing, but would count as a member.
func (n *node) isServer(ctx context.Context, id string, members []store.Member) bool {
	if slices.ContainsFunc(members, func(m store.Member) bool { return m.ID == id }) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	conn, err := n.links.DialServer(ctx, id, raftProtocol)
	if err != nil {
		n.log.Warn("a node is not made a member: it has not shown a server's certificate", "id", id, "error", err)
		return false
	}
	_ = conn.Close()
	return true
}

// longDead keeps in since when each member was first found missing, and returns those who are for long, and when the next one
// will be.
func longDead(members []store.Member, alive []string, since map[string]time.Time, now time.Time) (dead []string, wait time.Duration) {
	maps.DeleteFunc(since, func(id string, _ time.Time) bool { return slices.Contains(alive, id) })
	for _, m := range members {
		if slices.Contains(alive, m.ID) {
			continue
		}
		if since[m.ID].IsZero() {
			since[m.ID] = now
		}
		left := replaceAfter - now.Sub(since[m.ID])
		switch {
		case left <= 0:
			dead = append(dead, m.ID)
		case wait == 0 || left < wait:
			wait = left
		}
	}
	return dead, wait
}

// view is what decides about the members: IDs of the leader, of servers that are alive, of those dead for long, and the names
// of the Node objects by ID.
type view struct {
	leader      string
	alive, dead []string
	names       map[string]string
}

// memberChange adds a server, changes whether it votes, or removes it.
type memberChange struct {
	ID            string
	Voter, Remove bool
}

// memberChanges says who is to be added, to vote or to go: every server that is alive holds a replica, and the greatest odd
// number of them votes, at most 3, from 7 servers up 5. Two servers have one voter: the loss of the other one then stops nothing.
func memberChanges(members []store.Member, seen view) []memberChange {
	var changes []memberChange
	var voters, candidates, lost []string
	servers := 0
	for _, m := range members {
		alive := slices.Contains(seen.alive, m.ID)
		if _, wanted := seen.names[m.ID]; !alive && !wanted {
			changes = append(changes, memberChange{ID: m.ID, Remove: true})
			continue
		}
		servers++
		switch {
		case m.Voter && slices.Contains(seen.dead, m.ID):
			lost = append(lost, m.ID)
		case m.Voter && m.ID == seen.leader:
			voters = append([]string{m.ID}, voters...) // the last to lose its vote
		case m.Voter:
			voters = append(voters, m.ID)
		case alive:
			candidates = append(candidates, m.ID)
		}
	}
	for _, id := range seen.alive {
		if !slices.ContainsFunc(members, func(m store.Member) bool { return m.ID == id }) {
			servers++
			changes = append(changes, memberChange{ID: id})
			candidates = append(candidates, id)
		}
	}
	return append(changes, vote(wantedVoters(servers), voters, lost, candidates)...)
}

// vote gives votes and takes them until there are as many voters as wanted. A voter that is lost keeps its vote unless another
// takes its place.
func vote(wanted int, voters, lost, candidates []string) []memberChange {
	var changes []memberChange
	for len(lost) > 0 && len(candidates) > 0 {
		changes = append(changes, memberChange{ID: candidates[0], Voter: true}, memberChange{ID: lost[0]})
		voters = append(voters, candidates[0])
		candidates, lost = candidates[1:], lost[1:]
	}
	have := len(voters) + len(lost)
	more := max(0, min(wanted-have, len(candidates)))
	if more > 0 && (have+more)%2 == 0 {
		more-- // an even number tolerates no more losses than one less
	}
	for _, id := range candidates[:more] {
		changes = append(changes, memberChange{ID: id, Voter: true})
	}
	for _, id := range voters[max(1, len(voters)-max(0, have-wanted)):] {
		changes = append(changes, memberChange{ID: id})
	}
	return changes
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
