package node

import (
	"context"
	"errors"
	"slices"
	"time"

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

// handOver has another server lead: one that votes and is alive.
func (n *node) handOver(ctx context.Context) error {
	members := n.store.Members()
	for _, g := range n.gossip.Members() {
		if !g.Witness && g.ID != n.identity.NodeID() && slices.Contains(members, store.Member{ID: g.ID, Voter: true}) {
			return n.store.HandOver(ctx, g.ID)
		}
	}
	return errNoSuccessor
}
