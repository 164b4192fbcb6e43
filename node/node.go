package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/agent"
	"covey.dev/covey/api"
	"covey.dev/covey/api/audit"
	"covey.dev/covey/api/kind"
	usage "covey.dev/covey/api/metrics"
	"covey.dev/covey/node/address"
	"covey.dev/covey/node/clock"
	"covey.dev/covey/node/forward"
	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/keys"
	"covey.dev/covey/node/link"
	"covey.dev/covey/node/metrics"
	"covey.dev/covey/node/peer"
	"covey.dev/covey/node/port"
	"covey.dev/covey/node/upstream"
	"covey.dev/covey/scheduler"
	"covey.dev/covey/scheduler/autoscaler"
	"covey.dev/covey/store"
)

// base is what every node has, built and wired.
type base struct {
	cfg        Config
	log        *slog.Logger
	clock      *clock.Clock
	identity   *identity.Identity
	addresses  *address.Addresses // where others reach this node
	links      *link.Links
	gossip     *gossip.Gossip
	gossiping  time.Time // since when
	leading    time.Time // since when, last; only for what runs while it does
	peers      *peer.Peers
	runtime    Runtime
	port       *port.Port
	upstream   *upstream.Upstream
	agent      *agent.Agent
	serverCert *identity.Server
	end        context.CancelCauseFunc // of Run
	// keysChanged tells that this node took up other keys of the cluster.
	keysChanged signal
	relocated   signal        // this node's addresses are others now
	dismissal   chan struct{} // closed when this node was removed from the cluster
	dismissOnce sync.Once
	// incarnation of the cluster that a server's state belongs to
	incarnation uint64
	gone        gone // whom this node does not speak with
}

// node is a server: a node that holds the state.
type node struct {
	*base
	store      *store.Store
	api        *api.Server
	scheduler  *scheduler.Scheduler
	autoscaler *autoscaler.Autoscaler
	usage      *usage.Collector // of nodes, for the API and the autoscaler
	metrics    *metrics.Metrics
	audit      *audit.Log // nil when none is kept
	members    members
	kindred    kindred
	hope       hope
}

// role is what a node does on top of the gossip, until ctx ends.
type role interface {
	run(ctx context.Context) error
}

func (n *base) role() role {
	if n.cfg.Worker {
		return &worker{base: n}
	}
	return &node{base: n}
}

// Run runs a node until ctx ends. Its containers go on without it.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if !cfg.Witness {
		if err := examine(cfg.DataDir, cfg.Logger); err != nil {
			return err
		}
	}
	for _, dir := range []string{cfg.DataDir, cfg.StateDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("create a directory of the node: %w", err)
		}
	}
	held, err := lock(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	routeKlog(cfg.Logger)
	if err := checkLeft(cfg.DataDir); err != nil {
		return err
	}
	if cfg.Witness {
		if err := checkNoPods(cfg); err != nil {
			return err
		}
	}
	if err := checkProtocol(cfg.DataDir); err != nil {
		return err
	}
	for i, host := range cfg.Join {
		cfg.Join[i] = withPort(host)
	}
	n := &base{cfg: cfg, log: cfg.Logger, dismissal: make(chan struct{})}
	ctx, n.end = context.WithCancelCause(ctx)
	defer n.end(nil)
	err = remembered(cfg.DataDir, n.open(ctx))
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrLeft):
		return errors.Join(err, forget(cfg.DataDir), cause)
	case errors.Is(cause, ErrAgain) && err == nil:
		return cause
	}
	return err
}

// open joins the other nodes and plays its role among them until ctx ends.
func (n *base) open(ctx context.Context) error {
	p, err := port.Listen(n.cfg.Listen, n.log)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	n.port = p
	n.addresses = address.New(n.cfg.Advertise, p.Addr().IP)
	seeds, err := n.openIdentity(ctx)
	if err != nil {
		return err
	}
	if err := n.openGossip(); err != nil {
		return err
	}
	// The gossip goes on to the end: until then it is needed to find the servers.
	gossip := func(ctx context.Context) error { return n.gossip.Run(ctx, seeds) }
	return over(ctx, gossip, n.role().run)
}

// run implements role.
func (n *node) run(ctx context.Context) error {
	if err := n.openAudit(); err != nil {
		return err
	}
	if err := n.openStore(); err != nil {
		return err
	}
	ctx, stop := n.afterHandOver(ctx)
	defer stop()
	if n.cfg.Witness {
		return over(ctx, n.store.Run, n.serveWitness)
	}
	// The store closes after everything that may still have a write under way.
	return over(ctx, n.store.Run, func(ctx context.Context) error {
		return n.runRuntime(ctx, func(ctx context.Context) error { return n.runAudit(ctx, n.serve) })
	})
}

// runRuntime runs serve on the container runtime.
func (n *base) runRuntime(ctx context.Context, serve func(context.Context) error) (err error) {
	if n.runtime, err = n.cfg.OpenRuntime(ctx, n.runtimeConfig()); err != nil {
		return fmt.Errorf("open the container runtime: %w", err)
	}
	// The runtime ends after the agent, which may be in the middle of starting a container.
	return over(ctx, n.runtime.Run, serve)
}

// openStore opens the state, whose Raft server is named by the node's key.
func (n *node) openStore() (err error) {
	id := n.identity.NodeID()
	n.peers = peer.New(n.links)
	n.members.begin()
	n.kindred = newKindred()
	n.store, err = store.Open(store.Config{
		Dir:       filepath.Join(n.cfg.DataDir, "store"),
		NodeID:    id,
		Transport: store.NewTransport(id, kinListener{n.links.ServerListener(n.port.Listener(raftProtocol)), n}, raftLinks{n}, n.log),
		Join:      n.identity.Joined(),
		Peers:     n.peers,
		Wakes:     n.gossiping,
		Scheme:    kind.Scheme(),
		Logger:    n.log,
	})
	if err == nil {
		n.gone.count(n.store.Snapshot(), nodeKeysTable, id)
		n.identity.SetKnown(func(nodeID string) bool { _, known := n.RoleOf(nodeID); return known })
		n.identity.SetRemoved(n.Removed)
	}
	if errors.Is(err, store.ErrDamaged) {
		return fmt.Errorf("%w\nBring the state back from a backup: covey restore --data-dir %s FILE", err, n.cfg.DataDir)
	}
	return err
}

func (n *base) runtimeConfig() RuntimeConfig {
	return RuntimeConfig{
		DataDir:        n.cfg.DataDir,
		StateDir:       n.cfg.StateDir,
		RegistryConfig: n.cfg.RegistryConfig,
		InstanceID:     n.cfg.instanceID(),
		Logger:         n.log,
	}
}

// serve builds what stands on the store and the runtime, and runs it until ctx ends.
func (n *node) serve(ctx context.Context) error {
	if err := n.build(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	n.startServer(ctx, g)
	g.Go(func() error { return n.upstream.Run(ctx) })
	g.Go(func() error { return n.agent.Run(ctx) })
	g.Go(func() error { return lead(ctx, n.store.Leading(), n.term) })
	return g.Wait()
}

// startServer runs in g what every server runs.
func (n *node) startServer(ctx context.Context, g *errgroup.Group) {
	http := n.port.Listener(clientProtocols...)
	passedOn := n.links.Listener(n.port.Listener(forward.Protocol))
	returning := link.KeyListener(n.port.Listener(identity.KeyProtocol))
	n.start(ctx, g, n.store, n.peerHandler())
	g.Go(func() error { return serveClients(ctx, http, n.handler(), n.log) })
	g.Go(func() error { return serveStrangers(ctx, returning, keys.Handler(n), n.log) })
	g.Go(func() error { return n.receive(ctx, passedOn) })
	g.Go(func() error { return n.followKeys(ctx) })
	g.Go(func() error { return n.watchIncarnation(ctx) })
	g.Go(func() error { return n.askKindred(ctx) })
	g.Go(func() error {
		return n.followRemovals(ctx, n.store, nodeKeysTable, func() bool { return n.gone.pending(n.isMember) })
	})
	g.Go(func() error {
		return n.askWhetherRemoved(ctx, n.store, func() bool { return n.store.LeaderID() == "" })
	})
	g.Go(func() error { return n.watchMajority(ctx) })
	g.Go(func() error { return n.announce(ctx) })
}

// start runs in g what every node runs; peers answers other nodes.
func (n *base) start(ctx context.Context, g *errgroup.Group, state state, peers http.Handler) {
	others := n.links.Listener(n.port.Listener(peer.Protocol))
	g.Go(func() error { return n.port.Run(ctx, n.serverCert.TLSConfig(n.port.Protocols()...)) })
	g.Go(func() error { return serve(ctx, others, peers, n.log) })
	g.Go(func() error { return n.keepUp(ctx) })
	g.Go(func() error { return n.addresses.Run(ctx, n.moved, n.log) })
	g.Go(func() error { return n.followMoves(ctx) })
	g.Go(func() error { return n.releaseWhenQuiet(ctx, state) })
	g.Go(func() error { return n.followProtocol(ctx, state) })
}
