package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/store"
)

// PromotePath is where an administrator has a server vote and lead.
const PromotePath = "/covey/promote"

func (n *node) promoteHandler(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuse(w, apierrors.NewMethodNotSupported(schema.GroupResource{Resource: "promote"}, r.Method))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), leaveTimeout)
	defer cancel()
	if n.cfg.Witness {
		refuse(w, apierrors.NewBadRequest("promote: a witness votes and does not lead"))
		return
	}
	if err := n.noMajority(); err != nil {
		refuse(w, apierrors.NewServiceUnavailable(err.Error()))
		return
	}
	if err := n.promote(ctx); err != nil {
		refuse(w, apierrors.NewServiceUnavailable("promote: "+err.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintln(w, "{}")
}

// promote returns when this node leads.
func (n *node) promote(ctx context.Context) error {
	self := n.identity.NodeID()
	for {
		leader, err := n.store.AwaitLeader(ctx)
		if err != nil {
			return err
		}
		if leader == self {
			return nil
		}
		if err = n.peers.Promote(ctx, leader, self); err != nil {
			n.log.Debug("not promoted yet", "leader", leader, "error", err)
		}
		if !sleep(ctx, leaveRetry) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// Promote implements peer.Leader.
func (n *node) Promote(ctx context.Context, id string) error {
	if !n.store.IsLeader() {
		return store.ErrNotLeader
	}
	n.members.mu.Lock()
	defer n.members.mu.Unlock()
	if !n.isMember(id) {
		return fmt.Errorf("server %s is no member yet", id)
	}
	if err := n.awaitCaughtUp(ctx, id); err != nil {
		return fmt.Errorf("server %s has not caught up: %w", id, err)
	}
	if !slices.Contains(n.store.Members(), store.Member{ID: id, Voter: true}) {
		if err := n.store.AddMember(ctx, id, true); err != nil {
			return err
		}
	}
	return n.store.HandOver(ctx, id)
}
