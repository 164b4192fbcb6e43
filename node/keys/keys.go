package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/peer"
)

const (
	path    = "/keys"
	maxKeys = 1 << 20
)

// Cluster is what the handler asks about the cluster.
type Cluster interface {
	// RoleOf says what the node of that ID is in the cluster; false for one that is not known.
	RoleOf(nodeID string) (identity.Role, bool)
	// Keys are the newest that this node has.
	Keys() identity.Keys
}

// Handler answers nodes whose key is known, which peer.ConnContext says.
func Handler(c Cluster) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		node, _ := peer.From(r.Context())
		role, known := c.RoleOf(node.ID)
		if !known {
			http.Error(w, "no node of this cluster has this key: it was removed, or never joined", http.StatusForbidden)
			return
		}
		keys := c.Keys()
		if role != identity.RoleServer {
			keys = keys.ForWorker()
		}
		data, err := keys.Encode()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(data)
	})
	return mux
}

// ErrUnknown is returned when the other node's cluster does not know this one, or does no more.
var ErrUnknown = errors.New("the cluster does not know this node")

// Fetch asks a node for the cluster's keys; dial makes a connection with it by identity.KeyProtocol.
func Fetch(ctx context.Context, dial func(context.Context) (net.Conn, error)) (identity.Keys, error) {
	transport := &http.Transport{
		DialTLSContext:    func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://node"+path, nil)
	if err != nil {
		return identity.Keys{}, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return identity.Keys{}, fmt.Errorf("ask for the cluster's keys: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys))
	switch {
	case err != nil:
		return identity.Keys{}, fmt.Errorf("ask for the cluster's keys: %w", err)
	case resp.StatusCode == http.StatusForbidden:
		return identity.Keys{}, fmt.Errorf("ask for the cluster's keys: %w: %s", ErrUnknown, strings.TrimSpace(string(answer)))
	case resp.StatusCode != http.StatusOK:
		return identity.Keys{}, fmt.Errorf("ask for the cluster's keys: %s", strings.TrimSpace(string(answer)))
	}
	var keys identity.Keys
	if err := json.Unmarshal(answer, &keys); err != nil {
		return identity.Keys{}, fmt.Errorf("read the cluster's keys: %w", err)
	}
	return keys, nil
}
