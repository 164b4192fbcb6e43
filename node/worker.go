package node

import (
	"context"
	"crypto/sha256"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/link"
	"covey.dev/covey/node/peer"
	"covey.dev/covey/node/remote"
	"covey.dev/covey/store"
)

// checkpointDir in the data directory has what a worker was told last.
const checkpointDir = "checkpoint"

// worker is a node that holds no state: servers tell it what to run. What they told it last is in its checkpoint.
type worker struct {
	*base
	checkpoint *store.Mirror
	client     *remote.Client
	ask        *peer.Peers  // reaches servers only
	passing    atomic.Int32 // connections of clients that are passed on
}

// run implements role.
func (w *worker) run(ctx context.Context) error {
	w.peers = peer.New(w.links)
	if err := w.openCheckpoint(); err != nil {
		return err
	}
	w.ask = peer.New(serverLinks{w.links})
	w.client = remote.NewClient(remote.Config{Mirror: w.checkpoint, Servers: w.servers, Transport: w.ask, Log: w.log})
	// The checkpoint closes after everything that may still be told something.
	return over(ctx, w.checkpoint.Run, func(ctx context.Context) error { return w.runRuntime(ctx, w.serve) })
}

// openCheckpoint opens what servers told last, by which other nodes are judged.
func (w *worker) openCheckpoint() (err error) {
	w.checkpoint, err = store.OpenMirror(filepath.Join(w.cfg.DataDir, checkpointDir, "state.db"), kind.Scheme(), w.log)
	if err == nil {
		w.gone.count(w.checkpoint.Snapshot(), remote.RemovedTable, w.identity.NodeID())
		w.identity.SetKnown(func(nodeID string) bool { return namesIn(w.checkpoint.Snapshot())[nodeID] != "" })
		w.identity.SetRemoved(w.gone.has)
	}
	return err
}

// serve builds what stands on the checkpoint and the runtime, and runs it until ctx ends.
func (w *worker) serve(ctx context.Context) error {
	if err := w.openAgent(w.client, w.client, w.confirm, nil); err != nil {
		return err
	}
	w.port.Divert(w.divert)
	clients := w.port.Listener(clientProtocols...) // while no server can be reached
	g, ctx := errgroup.WithContext(ctx)
	w.start(ctx, g, w.checkpoint, peer.Handler(nil, nil, w.handler()))
	g.Go(func() error { return w.renew(ctx) })
	g.Go(func() error {
		return w.followRemovals(ctx, w.checkpoint, remote.RemovedTable, func() bool { return false })
	})
	g.Go(func() error {
		return w.askWhetherRemoved(ctx, w.checkpoint, func() bool { return !w.client.Follows() })
	})
	g.Go(func() error { return w.serveAlone(ctx, clients) })
	g.Go(func() error { return w.upstream.Run(ctx) })
	g.Go(func() error { return w.agent.Run(ctx) })
	g.Go(func() error { return w.client.Run(ctx) })
	g.Go(func() error { return w.announce(ctx) })
	return g.Wait()
}

// announce says when the node is ready.
func (w *worker) announce(ctx context.Context) error {
	select {
	case <-w.upstream.Registered():
	case <-ctx.Done():
		return nil
	}
	server := localServer(w.port.Addr())
	w.log.Debug("ready", "server", server, "node", w.cfg.Name, "id", w.identity.NodeID())
	if w.cfg.Ready != nil {
		w.cfg.Ready(Ready{Server: server})
	}
	return nil
}

// servers are the IDs of the servers that are alive, in the order in which this worker asks them.
func (w *worker) servers() (ids []string, changed <-chan struct{}) {
	changed = w.gossip.Changed()
	return serversFor(w.identity.NodeID(), w.gossip.Members()), changed
}

// serversFor are the servers among the members in an order of the worker's own: so the workers spread over them. Witnesses come last: they
// have no images that clients could push or pull, and are small machines.
func serversFor(worker string, members []gossip.Member) (ids []string) {
	rank := func(m gossip.Member) string {
		sum := sha256.Sum256([]byte(worker + m.ID))
		if m.Witness {
			return "witness" + string(sum[:])
		}
		return "server" + string(sum[:])
	}
	servers := slices.DeleteFunc(slices.Clone(members), func(m gossip.Member) bool { return m.Worker })
	slices.SortFunc(servers, func(a, b gossip.Member) int { return strings.Compare(rank(a), rank(b)) })
	for _, m := range servers {
		ids = append(ids, m.ID)
	}
	return ids
}

// serverLinks reaches servers only, whatever a node says of itself.
type serverLinks struct{ *link.Links }

func (l serverLinks) Dial(ctx context.Context, serverID, proto string) (net.Conn, error) {
	return l.DialServer(ctx, serverID, proto)
}
