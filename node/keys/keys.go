package keys

import (
	"bytes"
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
	path            = "/keys"
	certificatePath = "/certificate"
	maxKeys         = 1 << 20
	maxRequest      = 16 << 10
)

// Cluster is what the handler asks about the cluster.
type Cluster interface {
	// RoleOf says what the node of that ID is in the cluster; false for one that is not known.
	RoleOf(nodeID string) (identity.Role, bool)
	// Dismissed reports whether the node of that ID was removed from the cluster, which is asked for it.
	Dismissed(ctx context.Context, nodeID string) bool
	// Keys are the newest that this node has.
	Keys() identity.Keys
	// Certify makes another certificate for a worker, which asks with a request of its own key from address.
	Certify(request []byte, address net.IP) ([]byte, error)
}

// Handler answers nodes whose key is known, which peer.ConnContext says.
func Handler(c Cluster) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		node, _ := peer.From(r.Context())
		if c.Dismissed(r.Context(), node.ID) {
			http.Error(w, "the node of this key was removed from the cluster", http.StatusGone)
			return
		}
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
	mux.HandleFunc("POST "+certificatePath, func(w http.ResponseWriter, r *http.Request) { certify(c, w, r) })
	return mux
}

// certify answers a worker that wants another certificate: only for the key that it has proven.
func certify(c Cluster, w http.ResponseWriter, r *http.Request) {
	node, _ := peer.From(r.Context())
	if role, known := c.RoleOf(node.ID); !known || role != identity.RoleWorker {
		http.Error(w, "no worker of this cluster has this key: it was removed, or never joined", http.StatusForbidden)
		return
	}
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if id, err := identity.RequestID(request); err != nil || id != node.ID {
		http.Error(w, "the request is not for the key of the node that asks", http.StatusForbidden)
		return
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	cert, err := c.Certify(request, net.ParseIP(host))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(cert)
}

// ErrUnknown is returned when the other node's cluster does not know this one, or does no more.
var ErrUnknown = errors.New("the cluster does not know this node")

// ErrRemoved is returned when this node was removed from the other node's cluster.
var ErrRemoved = errors.New("this node was removed from the cluster")

// Renew asks a server for another certificate of a worker; dial makes a connection with it by identity.KeyProtocol.
func Renew(ctx context.Context, dial func(context.Context) (net.Conn, error), request []byte) ([]byte, error) {
	cert, err := ask(ctx, dial, http.MethodPost, certificatePath, request)
	if err != nil {
		return nil, fmt.Errorf("ask for another certificate: %w", err)
	}
	return cert, nil
}

// Fetch asks a node for the cluster's keys; dial makes a connection with it by identity.KeyProtocol.
func Fetch(ctx context.Context, dial func(context.Context) (net.Conn, error)) (identity.Keys, error) {
	answer, err := ask(ctx, dial, http.MethodGet, path, nil)
	if err != nil {
		return identity.Keys{}, fmt.Errorf("ask for the cluster's keys: %w", err)
	}
	var keys identity.Keys
	if err := json.Unmarshal(answer, &keys); err != nil {
		return identity.Keys{}, fmt.Errorf("read the cluster's keys: %w", err)
	}
	return keys, nil
}

func ask(ctx context.Context, dial func(context.Context) (net.Conn, error), method, path string, body []byte) ([]byte, error) {
	transport := &http.Transport{
		DialTLSContext:    func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://node"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusGone:
		return nil, ErrRemoved
	case resp.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s", ErrUnknown, strings.TrimSpace(string(answer)))
	case resp.StatusCode != http.StatusOK:
		return nil, errors.New(strings.TrimSpace(string(answer)))
	}
	return answer, nil
}
