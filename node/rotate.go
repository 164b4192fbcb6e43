package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/store"
)

const (
	// KeysPath is where an administrator asks any node how the cluster's keys are (GET), or has them changed (POST).
	KeysPath = "/covey/keys"
	// OverlapQuery is for how long the old CA is trusted, as a duration.
	OverlapQuery = "overlap"
	// GossipOnlyQuery, when true, has the gossip key changed alone.
	GossipOnlyQuery = "gossipOnly"
	// keysPatience is the longest time without looking whether a key is due.
	keysPatience = 24 * time.Hour
)

// KeysStatus says how the cluster's keys are.
type KeysStatus struct {
	// Now is the time by which certificates and tokens are judged, and Until below is meant.
	Now         time.Time         `json:"now"`
	Generation  uint64            `json:"generation"`
	Authorities []AuthorityStatus `json:"authorities"` // the first signs
	GossipKeys  []GossipKeyStatus `json:"gossipKeys"`  // the first encrypts
	// Behind are nodes that are alive and do not have these keys yet.
	Behind []string `json:"behind,omitempty"`
}

// AuthorityStatus is one CA.
type AuthorityStatus struct {
	Fingerprint string    `json:"fingerprint"`    // SHA-256 of its certificate, as in tokens
	Until       time.Time `json:"until,omitzero"` // it is trusted; zero for the one that signs
}

// GossipKeyStatus is one key of the gossip.
type GossipKeyStatus struct {
	ID    string    `json:"id"` // SHA-256 of it, the first bytes
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // it is understood; zero for one that encrypts, or will
}

func (n *node) keysHandler(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if err := n.rotate(r); err != nil {
			refuse(w, err)
			return
		}
	}
	keys, err := n.recordedKeys(n.store.Snapshot())
	if err != nil {
		refuse(w, apierrors.NewInternalError(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(n.keysStatus(keys))
}

func (n *node) rotate(r *http.Request) *apierrors.StatusError {
	overlap, err := time.ParseDuration(r.URL.Query().Get(OverlapQuery))
	gossipOnly := r.URL.Query().Get(GossipOnlyQuery) == "true"
	if err != nil || overlap < 0 {
		return apierrors.NewBadRequest("overlap: want a duration such as 24h, 0s or more")
	}
	_, err = n.store.Update(r.Context(), func(tx *store.Tx) error {
		next, err := n.recordedKeys(tx.Snapshot())
		if err != nil {
			return err
		}
		if !gossipOnly {
			if next, err = next.RotateCA(n.now(), overlap); err != nil {
				return err
			}
		}
		// Whoever has the old CA's key has the gossip key too. One that is being changed already is new enough.
		fresh, err := next.RotateGossip(n.now(), overlap)
		switch {
		case err == nil:
			next = fresh
		case gossipOnly || !errors.Is(err, identity.ErrRotating):
			return err
		}
		return recordKeys(tx, next)
	})
	switch {
	case errors.Is(err, identity.ErrRotating):
		return apierrors.NewBadRequest(err.Error())
	case err != nil:
		return apierrors.NewServiceUnavailable(err.Error())
	}
	n.log.Info("the cluster's keys are rotated", "overlap", overlap, "gossipOnly", gossipOnly, "remote", r.RemoteAddr)
	return nil
}

func (n *node) keysStatus(keys identity.Keys) KeysStatus {
	s := KeysStatus{Now: n.now().UTC().Truncate(time.Second), Generation: keys.Generation, Behind: n.behind(keys.Generation)}
	for _, a := range keys.Authorities {
		s.Authorities = append(s.Authorities, AuthorityStatus{Fingerprint: a.Fingerprint(), Until: a.Until})
	}
	for _, g := range keys.Gossip {
		s.GossipKeys = append(s.GossipKeys, GossipKeyStatus{ID: g.ID(), Since: g.Since, Until: g.Until})
	}
	return s
}

// behind are the names of the nodes that are alive and have older keys.
func (n *node) behind(generation uint64) (names []string) {
	for _, m := range n.gossip.Members() {
		if m.Keys < generation {
			names = append(names, m.Name)
		}
	}
	return names
}

// keepKeys is the leader's part: it takes the next step of a rotation when it is due.
func (n *node) keepKeys(ctx context.Context) error {
	for {
		changed, rotated := n.gossip.Changed(), n.keysChanged.wait()
		wait, err := n.settleKeys(ctx)
		if errors.Is(err, store.ErrNotLeader) {
			return err
		} else if err != nil && ctx.Err() == nil {
			n.log.Warn("the cluster's keys were not looked after", "error", err)
			wait = memberRetry
		}
		timer := time.NewTimer(min(wait, keysPatience))
		select {
		case <-changed:
		case <-rotated:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (n *node) settleKeys(ctx context.Context) (wait time.Duration, err error) {
	_, err = n.store.Update(ctx, func(tx *store.Tx) error {
		keys, err := n.recordedKeys(tx.Snapshot())
		if err != nil {
			return err
		}
		var changed bool
		keys, changed, wait = keys.Settle(n.now(), len(n.behind(keys.Generation)) == 0)
		if changed {
			wait = time.Second
			return recordKeys(tx, keys)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("settle the cluster's keys: %w", err)
	}
	return wait, err
}
