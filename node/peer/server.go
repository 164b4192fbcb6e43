package peer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/link"
	"covey.dev/covey/store"
)

// Protocol is its ALPN name. A change that an older node would not understand takes another number.
const Protocol = "covey-peer/1"

// The paths, and what a body may have at most.
const (
	storePrefix  = "/store"
	proposePath  = storePrefix + "/entries"
	revisionPath = storePrefix + "/revision"
	fencePath    = storePrefix + "/fence"
	awaitPath    = storePrefix + "/revision/" // and the revision
	memberPath   = "/members/"                // and the node's ID

	promoteSuffix   = "/promotion"
	onceSuffix      = "/at-most-once"
	incarnationPath = "/incarnation"

	pingPath     = "/ping"
	nodePrefix   = "/node"
	imagesPrefix = nodePrefix + "/v2/" // a node's images, as a registry that is read-only
	maxEntry     = 17 << 20
)

// Store is the leader's part of what another server's store does.
type Store interface {
	ServePropose(ctx context.Context, p *store.Proposal) (revision uint64, err error)
	ServeReadRevision(ctx context.Context) (uint64, store.Fence, error)
	ServeCloseFence(ctx context.Context, f store.Fence) error
	AwaitRevision(ctx context.Context, revision uint64) error
	Revision() uint64
}

// Leader is what the leader does with the members; on other servers it returns store.ErrNotLeader.
type Leader interface {
	// Dismiss takes a node out of the cluster that asks for it.
	Dismiss(ctx context.Context, nodeID string) error
	// Promote has a server vote and lead that asks for it.
	Promote(ctx context.Context, nodeID string) error
	// AtMostOnce are the UIDs of the pods that may run at most once and are the node's, which is taken for alive. Each server can tell
	// while there is a leader.
	AtMostOnce(ctx context.Context, nodeID string) ([]string, error)
	// Incarnation is the number of the cluster's incarnation that this node's state belongs to.
	Incarnation() uint64
}

// Handler answers other nodes, which ConnContext knows: st and leader answer servers, and leader a node about itself; agent answers
// servers for this node's pods, and all nodes for its images. A node that holds no state has neither st nor leader.
func Handler(st Store, leader Leader, agent http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pingPath, func(w http.ResponseWriter, _ *http.Request) {
		revision := uint64(0)
		if st != nil {
			revision = st.Revision()
		}
		answer(w, strconv.FormatUint(revision, 10), nil)
	})
	mux.Handle(imagesPrefix, http.StripPrefix(nodePrefix, agent))
	mux.Handle(nodePrefix+"/", servers(http.StripPrefix(nodePrefix, agent)))
	if st != nil {
		mux.Handle(storePrefix+"/", servers(storeHandler(st)))
		mux.HandleFunc("DELETE "+memberPath+"{id}", forItself(nothing(leader.Dismiss)))
		mux.Handle("POST "+memberPath+"{id}"+promoteSuffix, servers(forItself(nothing(leader.Promote))))
		mux.HandleFunc("GET "+memberPath+"{id}"+onceSuffix, forItself(func(ctx context.Context, id string) (string, error) {
			pods, err := leader.AtMostOnce(ctx, id)
			return strings.Join(pods, "\n"), err
		}))
		mux.HandleFunc("GET "+incarnationPath, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, strconv.FormatUint(leader.Incarnation(), 10), nil)
		})
	}
	return mux
}

// servers lets only them through: a worker may not write, nor reach into other nodes' pods.
func servers(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if node, ok := From(r.Context()); !ok || node.Role != identity.RoleServer {
			http.Error(w, "only a server may ask for this", http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// nothing is what do has to tell.
func nothing(do func(ctx context.Context, nodeID string) error) func(context.Context, string) (string, error) {
	return func(ctx context.Context, nodeID string) (string, error) { return "", do(ctx, nodeID) }
}

// forItself lets a node ask for something that concerns itself.
func forItself(do func(ctx context.Context, nodeID string) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		if node, ok := From(r.Context()); !ok || node.ID != id {
			http.Error(w, "a node may ask for this only for itself", http.StatusForbidden)
			return
		}
		text, err := do(r.Context(), id)
		answer(w, text, err)
	}
}

type nodeKey struct{}

// ConnContext is for http.Server: it keeps whose connection it is.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	if node, ok := link.NodeOf(conn); ok {
		return With(ctx, node)
	}
	return ctx
}

// With is the context of a request that node sent.
func With(ctx context.Context, node identity.Node) context.Context {
	return context.WithValue(ctx, nodeKey{}, node)
}

// From says which node sent a request.
func From(ctx context.Context) (identity.Node, bool) {
	node, ok := ctx.Value(nodeKey{}).(identity.Node)
	return node, ok
}

func storeHandler(st Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+proposePath, func(w http.ResponseWriter, r *http.Request) {
		p, err := readProposal(w, r)
		if err != nil {
			answer(w, "", fmt.Errorf("%w: %w", store.ErrNotWritten, err))
			return
		}
		revision, err := st.ServePropose(r.Context(), p)
		answer(w, fmt.Sprint(revision), err)
	})
	mux.HandleFunc("GET "+revisionPath, func(w http.ResponseWriter, r *http.Request) {
		revision, f, err := st.ServeReadRevision(r.Context())
		answer(w, fmt.Sprint(revision, f.Term, f.Epoch), err)
	})
	mux.HandleFunc("GET "+awaitPath+"{revision}", func(w http.ResponseWriter, r *http.Request) {
		revision, err := strconv.ParseUint(r.PathValue("revision"), 10, 64)
		if err == nil {
			err = st.AwaitRevision(r.Context(), revision)
		}
		answer(w, "", err)
	})
	mux.HandleFunc("POST "+fencePath, func(w http.ResponseWriter, r *http.Request) {
		f, err := readFence(r)
		if err == nil {
			err = st.ServeCloseFence(r.Context(), f)
		}
		answer(w, "", err)
	})
	return mux
}

func readProposal(w http.ResponseWriter, r *http.Request) (*store.Proposal, error) {
	f, err := readFence(r)
	if err != nil {
		return nil, err
	}
	p := &store.Proposal{Fence: f}
	id, err := hex.DecodeString(r.URL.Query().Get("id"))
	if err != nil || len(id) != len(p.ID) {
		return nil, errors.New("id: want that of a proposal")
	}
	copy(p.ID[:], id)
	p.Data, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxEntry))
	return p, err
}

// query and readFence carry a fence in a URL.
func query(f store.Fence) string { return fmt.Sprintf("term=%d&epoch=%d", f.Term, f.Epoch) }

func readFence(r *http.Request) (f store.Fence, err error) {
	q := r.URL.Query()
	if f.Term, err = strconv.ParseUint(q.Get("term"), 10, 64); err != nil {
		return f, fmt.Errorf("term: %w", err)
	}
	if f.Epoch, err = strconv.ParseUint(q.Get("epoch"), 10, 64); err != nil {
		return f, fmt.Errorf("epoch: %w", err)
	}
	return f, nil
}

func answer(w http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	_, _ = io.WriteString(w, text)
}

// statusOf and errorOf carry the errors that a store acts on.
func statusOf(err error) int {
	switch {
	case errors.Is(err, store.ErrConflict):
		return http.StatusConflict
	case errors.Is(err, store.ErrNotLeader):
		return http.StatusMisdirectedRequest
	case errors.Is(err, store.ErrNotWritten):
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

func errorOf(status int, text string) error {
	text = strings.TrimSpace(text)
	var kind error
	switch status {
	case http.StatusConflict:
		kind = store.ErrConflict
	case http.StatusMisdirectedRequest:
		kind = store.ErrNotLeader
	case http.StatusInsufficientStorage:
		kind = store.ErrNotWritten
	default:
		return errors.New(text)
	}
	if detail, ok := strings.CutPrefix(text, kind.Error()); ok {
		return fmt.Errorf("%w%s", kind, detail)
	}
	return kind
}
