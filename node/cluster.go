package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/node/clock"
	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/join"
	"covey.dev/covey/node/link"
	"covey.dev/covey/node/metrics"
	"covey.dev/covey/node/registry"
	"covey.dev/covey/store/protocol"
)

// The ALPN names of what nodes speak to each other, besides peer.Protocol. A change that an older node would not
// understand takes another number.
const (
	raftProtocol   = "covey-raft/1"
	gossipProtocol = "covey-gossip/1"
)

// peersFile in the data directory remembers where the other nodes are.
const peersFile = "identity/peers.json"

// openIdentity finds out who this node is, and joins the cluster that it was told to on its first start. It returns
// addresses of other nodes.
func (n *base) openIdentity(ctx context.Context) (seeds []string, err error) {
	dir := filepath.Join(n.cfg.DataDir, "identity")
	if err := n.openClock(dir); err != nil {
		return nil, err
	}
	exists := identity.Exists(dir)
	if exists {
		if err := n.settleName(dir); err != nil {
			return nil, err
		}
	}
	switch {
	case exists && n.cfg.Worker && !identity.IsWorker(dir):
		return nil, errors.New("--worker: this node is a server; take it out of the cluster and purge its data directory before it joins as a worker")
	case exists && !n.cfg.Worker && identity.IsWorker(dir):
		return nil, errors.New("this node is a worker: start it with --worker, or purge its data directory before it joins as a server")
	case !exists && n.cfg.Worker && len(n.cfg.Join) == 0:
		return nil, errors.New("--worker: say which cluster to join, with --join and --token")
	case !exists && n.cfg.Witness && len(n.cfg.Join) == 0:
		return nil, errors.New("--witness: say which cluster to join, with --join and --token")
	case !exists && n.cfg.Token != "" && len(n.cfg.Join) == 0:
		return nil, errors.New("--token: say which cluster to join, with --join and the address of one of its nodes")
	case !exists && len(n.cfg.Join) > 0 && n.cfg.Token == "":
		return nil, errors.New("--join: a token is needed too, --token ID.SECRET.CA: covey token create prints one on a node of the cluster")
	case !exists && len(n.cfg.Join) > 0:
		if seeds, err = n.join(ctx, dir); err != nil {
			return nil, err
		}
	}
	if err := settleState(n.cfg.DataDir, n.log); err != nil {
		return nil, err
	}
	if n.identity, err = identity.Open(dir, n.clock.Now); err != nil {
		return nil, err
	}
	if !exists && !n.cfg.Worker {
		if err := identity.SetName(dir, n.cfg.Name); err != nil {
			return nil, err
		}
	}
	n.warnOfToken(exists)
	n.identity.IssueBy(n.clock.Latest)
	n.clock.Remember()
	if n.incarnation, err = readIncarnation(n.cfg.DataDir); err != nil {
		return nil, err
	}
	n.serverCert = n.identity.NewServer(n.cfg.Name, n.hosts()...)
	return append(seeds, n.cfg.Join...), nil
}

// settleName keeps the name that the node has in its cluster. Under another one it would be there twice, and its pods belong to the first.
func (n *base) settleName(dir string) error {
	name, err := identity.Name(dir)
	switch {
	case err != nil || name == n.cfg.Name:
		return err
	case name == "": // of a version that did not remember it
		return identity.SetName(dir, n.cfg.Name)
	case n.cfg.HostName:
		n.log.Warn("the machine has another name than this node, which keeps its own", "machine", n.cfg.Name, "node", name)
		n.cfg.Name = name
		return nil
	}
	return fmt.Errorf("--node-name %s: this node is %s in its cluster; to rename it have it leave (covey leave), and join with the new name", n.cfg.Name, name)
}

// warnOfToken says that a node which has a cluster does not join the one of its token.
func (n *base) warnOfToken(joinedBefore bool) {
	token, err := join.ParseToken(n.cfg.Token)
	keys := n.identity.Keys()
	if err != nil || !joinedBefore || slices.ContainsFunc(keys.Authorities, func(a identity.Authority) bool { return a.Fingerprint() == token.CA }) {
		return
	}
	n.log.Warn("the token is of another cluster than this node's, or from before its CA was replaced; the node stays in its own: to have it join another, have it leave, and purge its data directory")
}

// openClock begins to tell the time, by what is remembered in the identity's directory.
func (n *base) openClock(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create identity directory: %w", err)
	}
	began := time.Now()
	n.clock = clock.Open(filepath.Join(dir, "time"), time.Now, func() time.Duration { return time.Since(began) }, n.log)
	return nil
}

func (n *base) join(ctx context.Context, dir string) (seeds []string, err error) {
	token, err := join.ParseToken(n.cfg.Token)
	if err != nil {
		return nil, fmt.Errorf("--token: %w", err)
	}
	nodeID, err := identity.NodeKeyID(dir)
	if err != nil {
		return nil, err
	}
	csr, err := identity.NewRequest(dir)
	if err != nil {
		return nil, err
	}
	grant, err := join.Ask(ctx, join.Request{
		Servers: n.cfg.Join, Token: token, NodeID: nodeID, Name: n.cfg.Name, CSR: csr, Worker: n.cfg.Worker, Protocol: protocol.Spoken(), Log: n.log,
	})
	if err != nil {
		return nil, err
	}
	agreed := max(grant.Protocol, protocol.First.Newest) // one that is too old to say so speaks that
	if err := protocol.Spoken().Check(agreed); err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	if err := noteProtocol(n.cfg.DataDir, agreed); err != nil {
		return nil, err
	}
	n.clock.Start(grant.Time)
	if n.cfg.Worker {
		return grant.Seeds, identity.AdoptWorker(dir, grant.Keys, grant.Certificate)
	}
	if err := writeIncarnation(n.cfg.DataDir, grant.Incarnation); err != nil {
		return nil, err
	}
	return grant.Seeds, identity.Adopt(dir, grant.Keys)
}

// openGossip opens the port for UDP too and begins to gossip.
func (n *base) openGossip() error {
	packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: n.port.Addr().IP, Port: n.port.Addr().Port, Zone: n.port.Addr().Zone})
	if err != nil {
		return fmt.Errorf("listen for gossip: %w", err)
	}
	n.links = link.New(n.serverCert, book{n}, n.log)
	n.gossip, err = gossip.New(gossip.Config{
		NodeID:  n.identity.NodeID(),
		Name:    n.cfg.Name,
		Version: n.cfg.Version,
		Worker:  n.cfg.Worker,
		Port:    n.port.Addr().Port,
		Keys:    gossipKeys(n.identity.Keys()),
		File:    filepath.Join(n.cfg.DataDir, peersFile),
		Packets: packets,
		Streams: n.links.Listener(n.port.Listener(gossipProtocol)),
		Dial: func(ctx context.Context, addresses []string, nodeID string) (net.Conn, error) {
			return n.links.DialAt(ctx, addresses, nodeID, gossipProtocol)
		},
		NodeOf:      link.PeerOf,
		Incarnation: n.incarnation,
		Witness:     n.cfg.Witness,
		Protocol:    protocol.Spoken(),
		Removed:     n.identity.Removed,
		Addresses:   n.addresses.All,
		Near:        n.addresses.Near,
		Everyone:    n.addresses.Everyone,
		Clock:       time.Now,
		Observe:     n.clock.Observe,
		Refused:     n.fetchKeys,
		Log:         n.log,
	})
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	n.gossiping = time.Now()
	return nil
}

// book is the gossip, which is opened after the links that it speaks over.
type book struct{ node *base }

func (b book) Locate(nodeID string) []string { return b.node.gossip.Locate(nodeID) }

func (b book) Reached(nodeID, address string) { b.node.gossip.Reached(nodeID, address) }

// raftLinks connects Raft's servers, whose IDs are those of their nodes.
type raftLinks struct{ *node }

func (l raftLinks) Dial(ctx context.Context, serverID string) (net.Conn, error) {
	if !l.kin(serverID) {
		return nil, fmt.Errorf("connect with server %s: the cluster was recovered without it", serverID)
	}
	return l.links.DialServer(ctx, serverID, raftProtocol)
}

// handler is the API, and what is asked about the cluster itself: to join it, how it is, and its backups.
func (n *node) handler() http.Handler {
	own := map[string]http.Handler{
		join.Path:    join.Handler(joinable{n}, n.clock.Now, n.log),
		StatusPath:   administrators(n.statusHandler),
		metrics.Path: administrators(n.ofNode(n.metrics.ServeHTTP)),
		TargetsPath:  administrators(n.targetsHandler),
		BackupPath:   administrators(n.backupHandler),
		RestorePath:  administrators(n.restoreHandler),
		LeavePath:    administrators(n.ofNode(n.leaveHandler)),
		KeysPath:     administrators(n.keysHandler),
		RecoverPath:  administrators(n.ofServer(n.recoverHandler)),
		PromotePath:  administrators(n.ofServer(n.promoteHandler)),
	}
	images := n.registryHandler()
	return n.good(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler := own[r.URL.Path]
		switch {
		case handler != nil:
			handler.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path+"/", registry.Prefix):
			images.ServeHTTP(w, r)
		default:
			n.api.ServeHTTP(w, r)
		}
	}))
}

// good lets those clients through whose certificate is good still.
func (n *base) good(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.identity.StillGood(r.TLS) {
			w.Header().Set("Connection", "close")
			refuse(w, apierrors.NewUnauthorized("the client's certificate is no longer good: it has expired, its CA was replaced, or it is that of a node which was removed"))
			return
		}
		handler.ServeHTTP(w, r)
	})
}
