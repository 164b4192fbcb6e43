package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/keys"
	"covey.dev/covey/node/remote"
	"covey.dev/covey/store"
)

// nodeKeysTable has an object for the key of each node that had a Node object. It outlives that, so that a node which was removed is told
// from one that has just joined and has none yet. The API does not serve it.
const nodeKeysTable = "nodekeys.covey.dev"

// memberField of such an object says that the node was a member of Raft.
const memberField = "member"

func nodeKey(id string) store.Key { return store.Key{Resource: nodeKeysTable, Name: id} }

func removedKey(id string) store.Key { return store.Key{Resource: remote.RemovedTable, Name: id} }

const (
	// askRemovedInterval is how often a node that no server speaks with asks whether it is still a part of the cluster.
	askRemovedInterval = 10 * time.Second
	// farewell is how long the connections with a node last after it was removed.
	farewell = time.Second
)

// keyOf is the ID of the node that a Node object is of; "" when there is none or it does not say.
func keyOf(snap *store.Snapshot, name string) string {
	node, ok := store.Get[*corev1.Node](snap, store.Key{Resource: "nodes", Name: name})
	if !ok {
		return ""
	}
	return node.Annotations[nodeIDAnnotation]
}

// recordNodeKeys has the keys of all nodes be recorded, and for workers, who do not know the members of Raft, which nodes were removed. It reports
// whether there are nodes that are to be removed and are members still.
func recordNodeKeys(tx *store.Tx, isMember func(nodeID string) bool) (pending bool) {
	names := namesIn(tx.Snapshot())
	for id, name := range names {
		if id != "" {
			recordNodeKey(tx, id, name, isMember(id))
		}
	}
	for rec := range tx.Snapshot().List(nodeKeysTable, "") {
		id := rec.Key().Name
		_, there := names[id]
		_, told := tx.Get(removedKey(id))
		switch {
		case there || told:
		case isMember(id):
			pending = true
		default:
			tx.Create(removedKey(id), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: id}})
		}
	}
	return pending
}

// recordNodeKey also says of a server that it is one, or was before the cluster was recovered without it. The Node object, which
// nodes write themselves, does not tell.
func recordNodeKey(tx *store.Tx, id, name string, isMember bool) {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: id}, Data: map[string]string{"node": name}}
	if isMember {
		object.Data[memberField] = "true"
	}
	if _, recorded := tx.Get(nodeKey(id)); !recorded || isMember && !wasMember(tx.Snapshot(), id) {
		tx.Set(nodeKey(id), object)
	}
}

// admitWorker is the error of a worker's registration that would undo its removal. A worker that was never here is on record from then on, so
// that no registration on a server that is behind can come after its removal.
func admitWorker(tx *store.Tx, node *corev1.Node) error {
	id := node.Annotations[nodeIDAnnotation]
	if _, there := namesIn(tx.Snapshot())[id]; there {
		return nil
	}
	if _, recorded := tx.Get(nodeKey(id)); recorded {
		return remote.ErrRemoved
	}
	recordNodeKey(tx, id, node.Name, false)
	return nil
}

func wasMember(snap *store.Snapshot, id string) bool {
	object, ok := store.Get[*corev1.ConfigMap](snap, nodeKey(id))
	return ok && object.Data[memberField] == "true"
}

// readmit lets a node be new again that was removed.
func readmit(tx *store.Tx, id string) {
	for _, key := range []store.Key{nodeKey(id), removedKey(id)} {
		if rec, ok := tx.Get(key); ok {
			tx.Delete(key, rec.Revision())
		}
	}
}

// gone are the IDs of the nodes that were removed, as far as the state tells: on a server also those that are members of Raft still.
type gone struct {
	ids atomic.Pointer[map[string]bool]
}

func (g *gone) has(id string) bool {
	ids := g.ids.Load()
	return ids != nil && (*ids)[id]
}

// count takes those of a table that have no Node object, and reports whether they are others than before. self is never gone: as long as it
// runs it makes its Node object again.
func (g *gone) count(snap *store.Snapshot, table, self string) (changed bool) {
	names, ids := namesIn(snap), map[string]bool{}
	for rec := range snap.List(table, "") {
		id := rec.Key().Name
		if _, there := names[id]; !there && id != self {
			ids[id] = true
		}
	}
	before := g.ids.Swap(&ids)
	return before == nil || !maps.Equal(*before, ids)
}

// pending reports whether one that is gone is still a member of Raft.
func (g *gone) pending(isMember func(nodeID string) bool) bool {
	for id := range *g.ids.Load() {
		if isMember(id) {
			return true
		}
	}
	return false
}

// Removed reports whether a node was removed: its Node object is gone, and it is no member of Raft any more.
func (n *node) Removed(nodeID string) bool { return n.gone.has(nodeID) && !n.isMember(nodeID) }

func (n *node) isMember(nodeID string) bool {
	return slices.ContainsFunc(n.store.Members(), func(m store.Member) bool { return m.ID == nodeID })
}

// Dismissed implements keys.Cluster.
func (n *node) Dismissed(ctx context.Context, nodeID string) bool {
	if !n.Removed(nodeID) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	snap, err := n.store.Linearizable(ctx)
	if err != nil {
		return false
	}
	var now gone
	now.count(snap, nodeKeysTable, n.identity.NodeID())
	return now.has(nodeID)
}

// followRemovals keeps count of the nodes of a table that are gone, and ends the connections with them a moment later: one that leaves is still
// to be told that it has left. New ones are refused at once. pending says that there will be more though the state does not change.
func (n *base) followRemovals(ctx context.Context, state state, table string, pending func() bool) error {
	var due time.Time
	return follow(ctx, state, func(snap *store.Snapshot) (time.Duration, error) {
		now, changed := time.Now(), n.gone.count(snap, table, n.identity.NodeID())
		if !due.IsZero() && !now.Before(due) {
			n.links.Recheck()
			n.clock.Forget(n.identity.Removed)
			due = time.Time{}
		}
		if due.IsZero() && (changed || pending()) {
			due = now.Add(farewell)
		}
		if due.IsZero() {
			return 0, nil
		}
		return due.Sub(now), nil
	}, "nodes", table)
}

// dismiss takes note that this node was removed from the cluster.
func (n *base) dismiss() {
	n.dismissOnce.Do(func() {
		n.log.Error("this node was removed from the cluster: its pods end. To have it join again remove its data directory, and start it with --join and --token",
			"node", n.cfg.Name, "id", n.identity.NodeID(), "dataDir", n.cfg.DataDir)
		close(n.dismissal)
	})
}

// dismissed says that this node was removed from the cluster, and what helps; nil where it was not, or does not know of it yet.
func (n *base) dismissed() error {
	select {
	case <-n.dismissal:
		return fmt.Errorf("%s was removed from the cluster, which goes on without it. To have it join again stop it, remove %s, and start it with --join and --token", n.cfg.Name, n.cfg.DataDir)
	default:
		return nil
	}
}

// askWhetherRemoved asks servers, again and again while nobody speaks with this node or what it knows has no Node object for it.
func (n *base) askWhetherRemoved(ctx context.Context, known state, alone func() bool) error {
	for sleep(ctx, askRemovedInterval) {
		if keyOf(known.Snapshot(), n.cfg.Name) == n.identity.NodeID() && !alone() {
			continue
		}
		for _, m := range n.gossip.Members() {
			if m.Worker || m.ID == n.identity.NodeID() {
				continue
			}
			for _, address := range m.Addresses {
				if _, err := n.fetchFrom(ctx, address); errors.Is(err, keys.ErrRemoved) {
					n.dismiss()
					return nil
				}
			}
		}
	}
	return nil
}
