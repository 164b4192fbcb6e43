package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/node/upstream"
	"covey.dev/covey/store"
)

// confirmAlone is how long this node's own replica may take before others are asked as well: the way to the leader may be cut, and
// theirs not.
const confirmAlone = time.Second

// confirming is the upstream of a node's agent.
type confirming struct {
	*upstream.Upstream
	confirm func(context.Context) ([]string, error)
}

var _ agent.Confirmer = confirming{}

// Confirm implements agent.Confirmer.
func (c confirming) Confirm(ctx context.Context, _ string) ([]string, error) { return c.confirm(ctx) }

type question = func(context.Context) ([]string, error)

// confirm asks this server's own state, and then the others'.
func (n *node) confirm(ctx context.Context) ([]string, error) {
	id := n.identity.NodeID()
	asks := []question{func(ctx context.Context) ([]string, error) { return n.AtMostOnce(ctx, id) }}
	for _, m := range n.store.Members() {
		if m.ID != id {
			asks = append(asks, func(ctx context.Context) ([]string, error) { return n.peers.AtMostOnce(ctx, m.ID, id) })
		}
	}
	return first(ctx, confirmAlone, asks)
}

// confirm asks the servers.
func (w *worker) confirm(ctx context.Context) ([]string, error) {
	servers, _ := w.servers()
	asks := make([]question, len(servers))
	for i, server := range servers {
		asks[i] = func(ctx context.Context) ([]string, error) { return w.ask.AtMostOnce(ctx, server, w.identity.NodeID()) }
	}
	if len(asks) == 0 {
		return nil, errNoServer
	}
	return first(ctx, confirmAlone, asks)
}

// first asks the first one, and all others at once when that fails or is not back after patience; whoever answers first is right.
func first[T any](ctx context.Context, patience time.Duration, asks []func(context.Context) (T, error)) (T, error) {
	type result struct {
		answer T
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, len(asks))
	begin := func(ask func(context.Context) (T, error)) {
		go func() { // which ends with ctx
			answer, err := ask(ctx)
			results <- result{answer, err}
		}()
	}
	begin(asks[0])
	rest, late := asks[1:], time.After(patience)
	var errs []error
	for len(errs) < len(asks) {
		select {
		case r := <-results:
			if r.err == nil {
				return r.answer, nil
			}
			errs = append(errs, r.err)
		case <-late:
		}
		for _, ask := range rest {
			begin(ask)
		}
		rest = nil
	}
	var none T
	return none, errors.Join(errs...)
}

// errLost is returned for a node that the leader takes for lost, or does not know: its pods may have been replaced.
var errLost = errors.New("the cluster takes it for lost")

// errNoServer is returned on a worker that hears of none.
var errNoServer = errors.New("no server is alive")

// AtMostOnce implements peer.Leader.
func (n *node) AtMostOnce(ctx context.Context, nodeID string) ([]string, error) {
	snap, err := n.store.Linearizable(ctx)
	if err != nil {
		return nil, err
	}
	for node := range store.List[*corev1.Node](snap, "nodes", "") {
		if node.Annotations[nodeIDAnnotation] != nodeID || isLost(node) || isUnreachable(node) {
			continue
		}
		uids := []string{}
		for pod := range store.List[*corev1.Pod](snap, "pods", "") {
			if pod.Spec.NodeName == node.Name && pod.Annotations[agent.AtMostOne] == "true" {
				uids = append(uids, string(pod.UID))
			}
		}
		return uids, nil
	}
	return nil, fmt.Errorf("node %s: %w", nodeID, errLost)
}

// RunWatchdog is what the process does that Config.Watchdog starts, with the directory that is its last argument.
func RunWatchdog(ctx context.Context, dir string, ready func(), log *slog.Logger) error {
	return agent.RunWatchdog(ctx, dir, ready, log)
}
