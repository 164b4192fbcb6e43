package node

import (
	"context"
	"errors"
	"iter"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/store"
)

const (
	// newsTime is how long the gossip needs after a start to know everyone: until then nobody is taken for dead.
	newsTime = 5 * time.Second
	// checkTime is how long a node that the gossip has lost may take to answer the leader, which asks it several times meanwhile.
	checkTime     = 3 * time.Second
	checkInterval = 500 * time.Millisecond
	// contactTime is how long ago a server's last answer to Raft may be for it to be there.
	contactTime = 3 * time.Second
	// doubtInterval is how long after that a node which answered, though the gossip has lost it, is asked again.
	doubtInterval = 2 * time.Second
)

// keepReadiness writes into the nodes' Ready conditions and taints who is alive: a node is lost when the gossip says so and it does
// not answer the leader either.
func (n *node) keepReadiness(ctx context.Context) error {
	return n.whileNodesChange(ctx, "the readiness of the nodes was not written", n.judgeNodes)
}

// whileNodesChange calls act at first and whenever the gossip or a Node object changes, until ctx ends or this node leads no longer. act
// returns after what time it is to be called even if nothing changes; 0 is never. A failure is logged as failed, and tried again.
func (n *node) whileNodesChange(ctx context.Context, failed string, act func(context.Context) (time.Duration, error)) error {
	nodes := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.signalNodes(ctx, nodes) })
	g.Go(func() error {
		for {
			changed := n.gossip.Changed()
			wait, err := act(ctx)
			if errors.Is(err, store.ErrNotLeader) {
				return err
			} else if err != nil && ctx.Err() == nil {
				n.log.Warn(failed, "error", err)
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

// signalNodes puts something into the channel, which has room for one, when a Node object has changed.
func (n *node) signalNodes(ctx context.Context, changed chan<- struct{}) error {
	return n.upstream.FollowNodes(ctx, func([]*corev1.Node) {
		select {
		case changed <- struct{}{}:
		default: // one is waiting already
		}
	})
}

// judgeNodes returns after what time to look again even if nothing changes; 0 is never.
func (n *node) judgeNodes(ctx context.Context) (wait time.Duration, err error) {
	alive, missing := n.roll()
	if left := newsTime - time.Since(n.gossiping); left > 0 {
		for name := range missing {
			alive[name] = true
			wait = left
		}
	} else if answered := n.answering(ctx, missing); len(answered) > 0 {
		for _, name := range answered {
			alive[name] = true
		}
		wait = doubtInterval
	}
	if ctx.Err() != nil {
		return 0, nil
	}
	pending := false
	_, err = n.store.Update(ctx, func(tx *store.Tx) error {
		n.judge(tx, alive, missing)
		pending = recordNodeKeys(tx, n.isMember)
		return nil
	})
	if pending && wait == 0 { // nothing tells of changes in Raft
		wait = memberRetry
	}
	return wait, err
}

// roll is rollOf what this node knows now.
func (n *node) roll() (alive map[string]bool, missing map[string]string) {
	return rollOf(n.gossip.Members(), store.List[*corev1.Node](n.store.Snapshot(), "nodes", ""))
}

// rollOf says which nodes the gossip takes for alive, by name, and which of the others are still taken for ready, with their IDs. A node is
// its key: another one that gossips the same name is not it.
func rollOf(members []gossip.Member, nodes iter.Seq[*corev1.Node]) (alive map[string]bool, missing map[string]string) {
	alive, missing = map[string]bool{}, map[string]string{}
	keys := map[string]bool{}
	for _, m := range members {
		keys[m.ID] = true
	}
	for node := range nodes {
		switch id := node.Annotations[nodeIDAnnotation]; {
		case keys[id]:
			alive[node.Name] = true
		case !isLost(node):
			missing[node.Name] = id
		}
	}
	return alive, missing
}

// answering asks nodes whether they are there, all at once.
func (n *node) answering(ctx context.Context, nodes map[string]string) (names []string) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	for name, id := range nodes {
		asking.Go(func() {
			if !n.reaches(ctx, id) {
				return
			}
			n.log.Info("the gossip has lost a node that answers: nothing is done", "node", name)
			mu.Lock()
			defer mu.Unlock()
			names = append(names, name)
		})
	}
	asking.Wait()
	return names
}

// reaches reports whether a node answers this one, which leads. Raft asks the servers all the time.
func (n *node) reaches(ctx context.Context, id string) bool {
	if heard := n.store.Contact(id); !heard.IsZero() && time.Since(n.leading) > contactTime {
		return time.Since(heard) < contactTime
	}
	return answers(ctx, func(ctx context.Context) error { return n.peers.Ping(ctx, id) })
}

// answers reports whether one of several pings is answered within checkTime. A machine that refuses the connection has no covey
// that runs.
func answers(ctx context.Context, ping func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	results := make(chan error, checkTime/checkInterval+1)
	again := time.NewTicker(checkInterval)
	defer again.Stop()
	for {
		go func() { results <- ping(ctx) }() // which ends with ctx
		for waits := true; waits; {
			select {
			case err := <-results:
				if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
					return err == nil
				}
			case <-again.C:
				waits = false
			case <-ctx.Done():
				return false
			}
		}
	}
}

// judge writes what was found of the nodes. Of one that was not looked at nothing is known: it came in the meantime.
func (n *node) judge(tx *store.Tx, alive map[string]bool, missing map[string]string) {
	stamp := n.clock.Stamp()
	now := metav1.NewTime(stamp.Truncate(time.Second))
	for rec := range tx.Snapshot().List("nodes", "") {
		was := rec.Object().(*corev1.Node)
		_, looked := missing[was.Name]
		is := withRole(withTaints(withLiveness(was, alive[was.Name] || !looked && !isLost(was), now), now))
		if is == was {
			continue
		}
		if isLost(is) != isLost(was) {
			n.log.Info("a node's readiness changes", "node", was.Name, "alive", !isLost(is))
		}
		tx.Put(rec.Key(), is, rec.Revision())
		if event := lostEvent(was, is, stamp); event != nil {
			tx.Create(store.Key{Resource: "events", Namespace: event.Namespace, Name: event.Name}, event)
		}
	}
}
