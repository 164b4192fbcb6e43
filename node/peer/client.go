package peer

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"covey.dev/covey/store"
)

// Links connects with a node by its ID.
type Links interface {
	Dial(ctx context.Context, nodeID, proto string) (net.Conn, error)
}

const (
	dialTimeout     = 5 * time.Second // on a link that loses packets it takes several tries
	idleTimeout     = time.Minute
	idleConnections = 16
	maxAnswer       = 64 << 10
)

// Peers asks other nodes.
type Peers struct{ transport *http.Transport }

var _ store.Peers = (*Peers)(nil)

// errUnreachable marks that a request was never sent.
var errUnreachable = errors.New("the node cannot be reached")

// New makes Peers over links.
func New(links Links) *Peers {
	return &Peers{transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			nodeID, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			conn, err := links.Dial(ctx, nodeID, Protocol)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errUnreachable, err)
			}
			return conn, nil
		},
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     idleTimeout,
	}}
}

// Close closes the connections that are idle.
func (p *Peers) Close() { p.transport.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper: the URL's host is the node's ID.
func (p *Peers) RoundTrip(r *http.Request) (*http.Response, error) { return p.transport.RoundTrip(r) }

// Propose implements store.Peers.
func (p *Peers) Propose(ctx context.Context, server string, proposal *store.Proposal) (revision uint64, err error) {
	path := proposePath + "?" + query(proposal.Fence) + "&id=" + hex.EncodeToString(proposal.ID[:])
	err = p.ask(ctx, http.MethodPost, server, path, proposal.Data, "%d", &revision)
	return revision, err
}

// ReadRevision implements store.Peers.
func (p *Peers) ReadRevision(ctx context.Context, server string) (revision uint64, f store.Fence, err error) {
	err = p.ask(ctx, http.MethodGet, server, revisionPath, nil, "%d %d %d", &revision, &f.Term, &f.Epoch)
	return revision, f, err
}

// CloseFence implements store.Peers.
func (p *Peers) CloseFence(ctx context.Context, server string, f store.Fence) error {
	return p.ask(ctx, http.MethodPost, server, fencePath+"?"+query(f), nil, "")
}

// Ping returns nil when the node answers.
func (p *Peers) Ping(ctx context.Context, nodeID string) error {
	return p.ask(ctx, http.MethodGet, nodeID, pingPath, nil, "")
}

// Progress is the revision of a server's replica; 0 of a worker, which has none.
func (p *Peers) Progress(ctx context.Context, nodeID string) (revision uint64, err error) {
	err = p.ask(ctx, http.MethodGet, nodeID, pingPath, nil, "%d", &revision)
	return revision, err
}

// AwaitRevision returns when that server's replica has the state at revision.
func (p *Peers) AwaitRevision(ctx context.Context, server string, revision uint64) error {
	return p.ask(ctx, http.MethodGet, server, awaitPath+strconv.FormatUint(revision, 10), nil, "")
}

// Incarnation is the number of the cluster's incarnation that the node's state belongs to.
func (p *Peers) Incarnation(ctx context.Context, nodeID string) (number uint64, err error) {
	err = p.ask(ctx, http.MethodGet, nodeID, incarnationPath, nil, "%d", &number)
	return number, err
}

// Promote asks the leader to have the node vote and lead.
func (p *Peers) Promote(ctx context.Context, leader, nodeID string) error {
	return p.ask(ctx, http.MethodPost, leader, memberPath+nodeID+promoteSuffix, nil, "")
}

// Leave asks the leader to take the node out of the cluster.
func (p *Peers) Leave(ctx context.Context, leader, nodeID string) error {
	return p.ask(ctx, http.MethodDelete, leader, memberPath+nodeID, nil, "")
}

// AtMostOnce asks a server for the UIDs of the pods that may run at most once and are the node's, which asks for itself.
func (p *Peers) AtMostOnce(ctx context.Context, server, nodeID string) ([]string, error) {
	text, err := p.text(ctx, http.MethodGet, server, memberPath+nodeID+onceSuffix, nil)
	return strings.Fields(text), err
}

// ask reads the answer as format says.
func (p *Peers) ask(ctx context.Context, method, server, path string, body []byte, format string, into ...any) error {
	text, err := p.text(ctx, method, server, path, body)
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(text, format, into...); err != nil && format != "" {
		return fmt.Errorf("answer %q of %s: %w", text, path, err)
	}
	return nil
}

func (p *Peers) text(ctx context.Context, method, server, path string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+server+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := p.transport.RoundTrip(req)
	if errors.Is(err, errUnreachable) {
		return "", fmt.Errorf("%w: %w", store.ErrNotLeader, err)
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", errorOf(resp.StatusCode, string(text))
	}
	return string(text), nil
}

// ToAgent sends a request to the agent of the node of that ID.
func (p *Peers) ToAgent(nodeID string, req *http.Request) (*http.Response, error) {
	to := req.Clone(req.Context())
	to.URL.Host, to.URL.Path, to.URL.RawPath = nodeID, nodePrefix+req.URL.Path, ""
	return p.transport.RoundTrip(to)
}

// Node answers for the pods of the node of that ID, streams included.
func (p *Peers) Node(nodeID string) http.Handler {
	target := &url.URL{Scheme: "https", Host: nodeID, Path: nodePrefix}
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     p.transport,
		FlushInterval: -1, // logs are followed line by line
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "ask the node: "+err.Error(), http.StatusBadGateway)
		},
	}
}
