package node

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/store"
)

// readyCheckInterval is how often a node that starts looks whether it is ready; once it is, nothing is polled.
const readyCheckInterval = 5 * time.Millisecond

// ready says what is still missing before a client's first request would succeed.
func (n *node) ready() error {
	switch leader := n.store.LeaderID(); {
	case leader == "":
		return errors.New("no leader is elected yet")
	case leader == n.identity.NodeID() && !n.store.IsLeader():
		return errors.New("the leader is not caught up yet")
	}
	snap := n.store.Snapshot()
	if _, ok := snap.Get(store.Key{Resource: "nodes", Name: n.cfg.Name}); !ok {
		return errors.New("the node is not registered yet")
	}
	if _, ok := snap.Get(store.Key{Resource: "serviceaccounts", Namespace: corev1.NamespaceDefault, Name: "default"}); !ok {
		return errors.New("the default namespace is not there yet")
	}
	return nil
}

// stale is what reads warn of while no leader can be asked. A server that is alone finds its leader in itself.
func (n *node) stale() (warning string) {
	if len(n.store.Members()) < 2 {
		return ""
	}
	known := "this is what node " + n.cfg.Name + " knew last"
	if why := context.Cause(n.hope.Context()); why != nil {
		return "no leader can be asked: " + known + ". " + why.Error()
	}
	return "no leader can be asked: " + known
}

// announce writes the administrator's kubeconfig, says when the node is ready, and keeps the kubeconfig from expiring.
func (n *node) announce(ctx context.Context) error {
	server := localServer(n.port.Addr())
	if _, err := n.identity.EnsureAdminKubeconfig(n.cfg.kubeconfig(), server); err != nil {
		return err
	}
	if !n.awaitReady(ctx) {
		return nil
	}
	n.log.Debug("ready", "server", server, "node", n.cfg.Name, "id", n.identity.NodeID())
	if n.cfg.Ready != nil {
		n.cfg.Ready(Ready{Server: server, Kubeconfig: n.cfg.kubeconfig()})
	}
	for {
		changed := n.keysChanged.wait()
		renew, err := n.identity.EnsureAdminKubeconfig(n.cfg.kubeconfig(), server)
		if err != nil {
			n.log.Error("the administrator's kubeconfig was not renewed", "error", err)
			renew = n.now().Add(time.Hour)
		}
		timer := time.NewTimer(min(renew.Sub(n.now()), keysPatience)) // the clock may be set meanwhile
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// now is the time by which certificates are judged.
func (n *node) now() time.Time { return n.clock.Now() }

func (n *node) awaitReady(ctx context.Context) bool {
	for n.ready() != nil && !n.alone() {
		if !sleep(ctx, readyCheckInterval) {
			return false
		}
	}
	return true
}

// alone says that the node's pods go on with what was known last. A witness has none.
func (n *node) alone() bool { return n.upstream != nil && n.upstream.Alone() }

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
