package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/agent"
	"covey.dev/covey/api"
	"covey.dev/covey/api/kind"
	usage "covey.dev/covey/api/metrics"
	"covey.dev/covey/node/metrics"
	"covey.dev/covey/node/peer"
	"covey.dev/covey/node/registry"
	"covey.dev/covey/node/remote"
	"covey.dev/covey/node/upstream"
	"covey.dev/covey/scheduler"
	"covey.dev/covey/store"
	"covey.dev/covey/store/protocol"
)

// peerHandler answers other nodes: servers about the state and this node's pods, workers about themselves.
func (n *node) peerHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", peer.Handler(n.store, n, n.agentHandler()))
	mux.Handle(remote.Prefix, remote.Handler(remote.Cluster{
		Store:        n.store,
		Writer:       func(name string) upstream.Writer { return n.writer(name).Admitting(admitWorker) },
		Keeps:        func(nodeID string) bool { return n.gossip.Alive(nodeID) || n.holdsState(nodeID) },
		IDAnnotation: nodeIDAnnotation,
		Log:          n.log,
	}))
	return mux
}

// writer writes for the node of that name.
func (n *node) writer(name string) *upstream.StoreWriter {
	return upstream.NewWriter(n.store, name, n.clock.Stamp, uuid.NewUUID)
}

// openAgent makes the agent, which is told by source what to run, tells writer what became of it, and asks confirm which pods that may
// run at most once are its own. It serves what is pushed if it is handed repositories.
func (n *base) openAgent(source upstream.Source, writer upstream.Writer, confirm func(context.Context) ([]string, error), repositories agent.Repositories) (err error) {
	n.upstream = upstream.New(source, writer, upstream.DefaultPatience, n.clock.Stamp, n.log)
	n.upstream.EndPodsWhen(n.dismissal)
	n.agent, err = agent.New(agent.Config{
		NodeName:     n.cfg.Name,
		Addresses:    n.addresses.List,
		Overlay:      n.cfg.Overlay,
		ListenPort:   n.port.Addr().Port,
		InstanceID:   n.cfg.instanceID(),
		DataDir:      n.cfg.DataDir,
		StateDir:     n.cfg.StateDir,
		Labels:       n.labels(),
		Annotations:  n.annotations(),
		Peers:        others{n},
		Repositories: repositories,
		Version:      n.cfg.Version,
		Logger:       n.log,
		Watchdog:     n.cfg.Watchdog,

		UnsafeSysctls:  n.cfg.UnsafeSysctls,
		PodMaxPids:     n.cfg.PodMaxPids,
		MaxPods:        n.cfg.MaxPods,
		RegistryConfig: n.cfg.RegistryConfig,
		Housekeeping:   n.cfg.Housekeeping,
	}, n.runtime, confirming{n.upstream, confirm})
	return err
}

// startedAs is the role that the flags give this node.
func (c *Config) startedAs() string {
	switch {
	case c.Worker:
		return RoleWorker
	case c.Witness:
		return RoleWitness
	}
	return RoleServer
}

// annotations are what the Node object says of this covey.
func (n *base) annotations() map[string]string {
	return map[string]string{
		nodeIDAnnotation: n.identity.NodeID(), protocolAnnotation: protocol.Spoken().String(), roleAnnotation: n.cfg.startedAs(),
	}
}

// labels of the Node object are those of the configuration, and the role that users of Kubernetes look for.
func (n *base) labels() map[string]string {
	labels := map[string]string{}
	switch n.cfg.startedAs() {
	case RoleServer:
		labels[serverLabel] = ""
	case RoleWitness:
		labels[witnessLabel] = ""
	}
	maps.Copy(labels, n.cfg.Labels)
	return labels
}

func (n *node) build() (err error) {
	if err := n.openAgent(n.store, n.writer(n.cfg.Name), n.confirm, registry.Repositories{Store: n.store}); err != nil {
		return err
	}
	n.scheduler = scheduler.New(scheduler.Config{
		Store: n.store, Now: n.clock.Stamp, Logger: n.log, Resources: resources(),
		AdmitPod: func(snap *store.Snapshot, pod *corev1.Pod) error { return admitPod(snap, pod, n.clock.Stamp()) },
		Observe:  func(r scheduler.Round) { n.metrics.ObserveRound(r) },
	})
	n.usage = usage.New(n.Handler)
	n.autoscaler = n.newAutoscaler()
	return n.openAPI()
}

func (n *node) openAPI() (err error) {
	n.metrics = metrics.New(measured{n}, n.log)
	n.api, err = api.New(api.Config{
		Store:   n.store,
		Kinds:   kind.All(),
		Scheme:  kind.Scheme(),
		Nodes:   n,
		Version: n.cfg.Version,
		Clock:   n.clock.Stamp,
		Logger:  n.log,
		Ready:   n.ready,

		Hope:    n.hope.Context,
		Stale:   n.stale,
		Audit:   n.audit,
		Usage:   n.usage,
		Observe: func(o api.Observed) { n.metrics.Observe(metrics.Request(o)) },
	})
	return err
}

// errNoNode is returned for a node that this one cannot reach.
var errNoNode = errors.New("no node of this name is alive")

// Handler implements api.Nodes: what the agent of a node answers, which has the key that the Node object names.
func (n *node) Handler(name string) (http.Handler, error) {
	switch id := keyOf(n.store.Snapshot(), name); {
	case n.agent != nil && (id == n.identity.NodeID() || id == "" && name == n.cfg.Name):
		return n.agent.Handler(), nil
	case id != "" && n.gossip.Alive(id):
		return n.peers.Node(id), nil
	}
	return nil, fmt.Errorf("node %q: %w", name, errNoNode)
}

// admitPod does for a controller's pod what the API does for a user's.
func admitPod(snap *store.Snapshot, pod *corev1.Pod, now time.Time) error {
	pods := kind.Find("", "v1", "pods")
	pods.Default(pod)
	pods.PrepareCreate(pod, now)
	return api.AdmitPod(snap, pod)
}

// resources names the tables of all kinds, for what concerns objects of any kind: owners and namespaces.
func resources() []string {
	var names []string
	for _, k := range kind.All() {
		if k.Stored == nil { // another version of a kind has its table
			names = append(names, k.Resource())
		}
	}
	return names
}
