package remote

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/peer"
	"covey.dev/covey/node/upstream"
	"covey.dev/covey/store"
)

// Store is what the handler reads.
type Store interface {
	Snapshot() *store.Snapshot
	Linearizable(ctx context.Context) (*store.Snapshot, error)
	Watch(from uint64, resources ...string) (*store.Watcher, error)
}

// Cluster is what the handler knows of it.
type Cluster struct {
	Store Store
	// Writer writes for the node of that name.
	Writer func(node string) upstream.Writer
	// Keeps says whether the node of that ID keeps its name: it is alive, or a server, whose place no worker takes.
	Keeps func(nodeID string) bool
	// IDAnnotation on a Node object names the node's key.
	IDAnnotation string
	Log          *slog.Logger
}

// ErrRemoved is why a worker may not register that was removed from the cluster.
var ErrRemoved = errors.New("this worker was removed from the cluster")

// leaderTimeout bounds the wait for a leader: another server may know one.
const leaderTimeout = 5 * time.Second

// Handler answers workers. Each is told of itself only, by the name in its certificate.
func Handler(c Cluster) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statePath, c.worker(c.tell))
	mux.HandleFunc("POST "+registerPath, c.worker(c.register))
	mux.HandleFunc("POST "+statusPath, c.worker(writeStatus))
	mux.HandleFunc("POST "+removePath, c.worker(write(func(ctx context.Context, w upstream.Writer, pod agent.PodRef) error {
		return w.Remove(ctx, pod)
	})))
	mux.HandleFunc("POST "+eventsPath, c.worker(write(func(ctx context.Context, w upstream.Writer, events []upstream.Event) error {
		return w.WriteEvents(ctx, events)
	})))
	return mux
}

// request is one of a worker.
type request struct {
	w      http.ResponseWriter
	r      *http.Request
	node   identity.Node
	writer upstream.Writer
}

// worker lets only them through, and of two nodes that have the same name only the one that has it now.
func (c Cluster) worker(answer func(request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		node, ok := peer.From(r.Context())
		switch {
		case !ok || node.Role != identity.RoleWorker:
			http.Error(w, "only a worker may ask for this", http.StatusForbidden)
		case !c.mayBe(node):
			http.Error(w, "another node is called "+node.Name+": join with another --node-name, or take that one out if it is gone (covey node remove "+node.Name+")", http.StatusForbidden)
		default:
			answer(request{w, r, node, c.Writer(node.Name)})
		}
	}
}

// mayBe reports whether a node may act as the one of its name: the Node object names its key, or that of a node that is gone.
func (c Cluster) mayBe(node identity.Node) bool {
	known, ok := store.Get[*corev1.Node](c.Store.Snapshot(), store.Key{Resource: nodes, Name: node.Name})
	if !ok {
		return true
	}
	id := known.Annotations[c.IDAnnotation]
	return id == node.ID || id == "" || !c.Keeps(id)
}

// tell streams what concerns the node until the worker has gone, or has fallen too far behind.
func (c Cluster) tell(r request) {
	ctx, cancel := context.WithTimeout(r.r.Context(), leaderTimeout)
	defer cancel()
	snap, err := c.Store.Linearizable(ctx)
	if err != nil {
		http.Error(r.w, "no leader can be asked: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	watch, err := c.Store.Watch(snap.Revision(), append([]string{pods, configMaps, secrets}, public...)...)
	if err != nil {
		http.Error(r.w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	c.Log.Debug("a worker follows this server", "node", r.node.Name)
	v := newView(r.node.Name)
	out := json.NewEncoder(r.w)
	flush := http.NewResponseController(r.w).Flush
	message := news{Revision: snap.Revision(), Whole: true, Changes: v.whole(snap)}
	for {
		if message.Whole || len(message.Changes) > 0 {
			if errors.Join(out.Encode(message), flush()) != nil {
				return
			}
		}
		events, err := watch.Next(r.r.Context())
		if err != nil {
			return
		}
		message = news{Revision: watch.Revision(), Changes: v.after(events, c.Store.Snapshot())}
	}
}

// register has the Node object carry the key and the role that the certificate names, whatever the worker says.
func (c Cluster) register(r request) {
	var node corev1.Node
	if !read(r, &node) {
		return
	}
	own := corev1.Node{ObjectMeta: node.ObjectMeta, Status: node.Status}
	own.Spec.PodCIDR, own.Spec.PodCIDRs = node.Spec.PodCIDR, node.Spec.PodCIDRs
	if own.Annotations == nil {
		own.Annotations = map[string]string{}
	}
	own.Annotations[c.IDAnnotation] = r.node.ID
	stored, err := r.writer.Register(r.r.Context(), &own)
	respond(r, stored, err)
}

// write answers a request that has nothing to tell.
func writeStatus(r request) {
	var updates []agent.PodStatus
	if read(r, &updates) {
		revision, err := r.writer.WriteStatus(r.r.Context(), updates)
		respond(r, written{revision}, err)
	}
}

func write[T any](do func(context.Context, upstream.Writer, T) error) func(request) {
	return func(r request) {
		var body T
		if read(r, &body) {
			respond(r, struct{}{}, do(r.r.Context(), r.writer, body))
		}
	}
}

func read(r request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(r.w, r.r.Body, maxBody)).Decode(into); err != nil {
		http.Error(r.w, "the request is not understood: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func respond(r request, answer any, err error) {
	switch {
	case err == nil:
	case r.r.Context().Err() != nil, errors.Is(err, store.ErrNotLeader), errors.Is(err, store.ErrConflict), errors.Is(err, ErrRemoved):
		// Another server, or this one a little later: one that is behind does not know yet that the worker was let in again.
		http.Error(r.w, err.Error(), http.StatusServiceUnavailable)
		return
	default:
		http.Error(r.w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	r.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(r.w).Encode(answer) // the worker asks again when it gets none
}
