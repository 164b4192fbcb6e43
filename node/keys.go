package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/keys"
	"covey.dev/covey/store"
)

// keysTable holds the cluster's keys once they were changed: until then each server has them since it joined. It is a table of its own,
// which the API does not serve.
const keysTable = "keys.covey.dev"

var keysKey = store.Key{Resource: keysTable, Name: "cluster"}

const (
	// fetchTimeout bounds the wait for a node that is asked for keys.
	fetchTimeout = 5 * time.Second
	// fetchAfter is how long new keys may take to arrive by themselves before somebody is asked for them.
	fetchAfter = 3 * time.Second
)

// signal is closed at the next change of something.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
	}
	s.ch = nil
}

// recordedKeys are the newest of those in the state and those that this node has.
func (n *node) recordedKeys(snap *store.Snapshot) (identity.Keys, error) {
	own := n.identity.Keys()
	record, ok := store.Get[*corev1.Secret](snap, keysKey)
	if !ok {
		return own, nil
	}
	recorded, err := identity.DecodeKeys(record.Data["keys"])
	if err != nil {
		return own, fmt.Errorf("read the cluster's keys in the state: %w", err)
	}
	if own.Generation > recorded.Generation { // the state was restored from a backup
		return own, nil
	}
	return recorded, nil
}

// recordKeys puts keys into the state, from where all servers take them up.
func recordKeys(tx *store.Tx, keys identity.Keys) error {
	data, err := keys.Encode()
	if err != nil {
		return err
	}
	tx.Set(keysKey, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: keysKey.Name}, Data: map[string][]byte{"keys": data}})
	return nil
}

// followKeys takes up the keys that are put into the state.
func (n *node) followKeys(ctx context.Context) error {
	return follow(ctx, n.store, func(snap *store.Snapshot) (time.Duration, error) {
		recorded, err := n.recordedKeys(snap)
		if err == nil {
			err = n.takeUp(recorded)
		}
		if err != nil {
			n.log.Error("the cluster's new keys are not taken up", "error", err)
		}
		return 0, nil
	}, keysTable)
}

// takeUp goes on with other keys, if they are newer.
func (n *base) takeUp(keys identity.Keys) error {
	changed, err := n.identity.Install(keys)
	if err != nil || !changed {
		return err
	}
	n.log.Info("the cluster's keys change", "generation", keys.Generation, "ca", n.identity.CAFingerprint()[:16], "gossipKey", keys.Gossip[0].ID())
	n.keysChanged.notify()
	n.links.Recheck()
	return n.gossip.SetKeys(gossipKeys(keys))
}

func gossipKeys(keys identity.Keys) gossip.Keys {
	g := gossip.Keys{Generation: keys.Generation}
	for _, key := range keys.Gossip {
		g.Keys = append(g.Keys, key.Key)
	}
	return g
}

// Keys implements keys.Cluster.
func (n *node) Keys() identity.Keys { return n.identity.Keys() }

// RoleOf implements keys.Cluster: servers are members of Raft, or were until the cluster was recovered without them; workers have a
// Node object only.
func (n *node) RoleOf(nodeID string) (identity.Role, bool) {
	if n.isMember(nodeID) {
		return identity.RoleServer, true
	}
	snap := n.store.Snapshot()
	if _, known := namesIn(snap)[nodeID]; !known || nodeID == "" {
		return identity.RoleWorker, false
	}
	if wasMember(snap, nodeID) {
		return identity.RoleServer, true
	}
	return identity.RoleWorker, true
}

// Certify implements keys.Cluster.
func (n *node) Certify(request []byte, address net.IP) ([]byte, error) {
	nodeID, err := identity.RequestID(request)
	if err != nil {
		return nil, err
	}
	name, ok := n.names()[nodeID]
	if !ok {
		return nil, fmt.Errorf("no node has the key %s", nodeID)
	}
	return n.issueWorker(name, request, address)
}

// fetchKeys asks the nodes at these addresses for keys that are newer than this node's, until one has some.
func (n *base) fetchKeys(ctx context.Context, addresses []string) {
	for _, address := range addresses {
		newer, err := n.fetchFrom(ctx, address)
		switch {
		case errors.Is(err, keys.ErrRemoved):
			n.dismiss()
			return
		case errors.Is(err, keys.ErrUnknown):
			n.log.Warn("this node has old keys and is not given new ones: remove its data directory, and join it anew with a token", "error", err)
		case err != nil:
			n.log.Debug("a node was asked for the cluster's keys in vain", "address", address, "error", err)
		case newer:
			return
		}
	}
}

func (n *base) fetchFrom(ctx context.Context, address string) (newer bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	fetched, err := keys.Fetch(ctx, func(ctx context.Context) (net.Conn, error) {
		return n.links.DialServerAt(ctx, address, identity.KeyProtocol)
	})
	if err != nil {
		return false, err
	}
	newer = fetched.Generation > n.identity.Keys().Generation
	return newer, n.takeUp(fetched)
}

// keepUp asks those who say that they have newer keys, when these do not come by themselves.
func (n *base) keepUp(ctx context.Context) error {
	for {
		changed := n.gossip.Changed()
		if len(n.ahead()) == 0 {
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
			continue
		}
		if !sleep(ctx, fetchAfter) {
			return nil
		}
		n.fetchKeys(ctx, n.ahead())
	}
}

// ahead are the addresses of the nodes that have newer keys.
func (n *base) ahead() (addresses []string) {
	own := n.identity.Keys().Generation
	for _, m := range n.gossip.Members() {
		if m.Keys > own {
			addresses = append(addresses, m.Addresses...)
		}
	}
	return addresses
}
