package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/store"
)

// handOverTimeout bounds how long a node that stops goes on leading: others elect a leader without its help in not much more.
const handOverTimeout = time.Second

// errNoSuccessor is returned where no other server could lead.
var errNoSuccessor = errors.New("no other server that votes is alive")

// afterHandOver returns a context that ends after ctx, when another server leads: so that there is a leader all the time while
// this node stops.
func (n *node) afterHandOver(ctx context.Context) (late context.Context, stop context.CancelFunc) {
	late, stop = context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		defer stop()
		if !n.store.IsLeader() {
			return
		}
		handing, cancel := context.WithTimeout(late, handOverTimeout)
		defer cancel()
		if err := n.handOver(handing); err != nil && !errors.Is(err, errNoSuccessor) {
			n.log.Warn("leadership was not handed over; the others elect a leader when they miss this one", "error", err)
		}
	})
	return late, stop
}

// handOver has another server lead: one that votes and is alive. It asks one after the other, since the gossip may hear from one by ways
// that are not this server's.
func (n *node) handOver(ctx context.Context) error {
	err := errNoSuccessor
	for _, id := range successors(n.store.Members(), n.gossip.Members(), n.identity.NodeID(), n.store.Contact) {
		if err = n.store.HandOver(ctx, id); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// successors are the servers that may lead in place of self, the one that it has heard from last first.
func successors(members []store.Member, alive []gossip.Member, self string, contact func(id string) time.Time) (ids []string) {
	for _, g := range alive {
		if !g.Witness && g.ID != self && slices.Contains(members, store.Member{ID: g.ID, Voter: true}) {
			ids = append(ids, g.ID)
		}
	}
	slices.SortStableFunc(ids, func(a, b string) int { return contact(b).Compare(contact(a)) })
	return ids
}
