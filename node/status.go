package node

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/api"
	"covey.dev/covey/node/forward"
	"covey.dev/covey/store"
)

const (
	// StatusPath is where an administrator asks any node for the cluster's Status.
	StatusPath = "/covey/status"
	// pingTimeout bounds the wait for one member's answer.
	pingTimeout = 2 * time.Second
	// nodeIDAnnotation on a Node object names the node's key.
	nodeIDAnnotation = "covey.dev/node-id"
	// roleAnnotation on a Node object says whether its node is a server, a worker or a witness, or was when it ran last.
	roleAnnotation = "covey.dev/role"
)

// The roles of a member.
const (
	RoleLeader   = "leader"
	RoleVoter    = "voter"
	RoleFollower = "follower" // holds a replica and does not vote
	RoleJoining  = "joining"  // is not in Raft yet
	RoleWitness  = "witness"  // votes, and runs no pods
	RoleWorker   = "worker"   // holds no replica
	RoleServer   = "server"   // is not there, and not in Raft: a recovery goes on without it
)

// Status is the cluster as the node that was asked sees it.
type Status struct {
	// Node is the name of the node that was asked.
	Node    string         `json:"node"`
	Members []MemberStatus `json:"members"`
	// CanLose is how many of the voters that are alive may be lost before nothing can be written; negative when nothing can.
	CanLose int `json:"canLose"`
	// Summary says that in a sentence.
	Summary string `json:"summary"`
	// Protocol is how the nodes speak to each other, which tells how far an upgrade is.
	Protocol ProtocolStatus `json:"protocol"`
}

// MemberStatus is one node.
type MemberStatus struct {
	Name  string `json:"name"` // of its Node object; empty when that is gone
	ID    string `json:"id"`   // of its key
	Role  string `json:"role"`
	Alive bool   `json:"alive"`
	// Silent is one that is alive for all that the gossip has heard, and did not answer the node that was asked.
	Silent  bool   `json:"silent,omitempty"`
	Address string `json:"address,omitempty"` // host:port, while it is alive
	Version string `json:"version,omitempty"` // of covey
	Zone    string `json:"zone,omitempty"`    // of its Node object
	Voter   bool   `json:"voter"`
	Witness bool   `json:"witness,omitempty"`
	// Protocol is which versions of the protocol between nodes it speaks, or did when it was there last.
	Protocol *ProtocolRange `json:"protocol,omitempty"`
	// Behind is how many revisions its replica lacks that another has.
	Behind uint64  `json:"behind,omitempty"`
	Millis float64 `json:"milliseconds,omitempty"`
}

// administrators lets only them through.
func administrators(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, known := api.ClientCertificate(r)
		switch {
		case !known:
			refuse(w, apierrors.NewUnauthorized("Unauthorized"))
		case !slices.Contains(user.Groups, "system:masters"):
			refuse(w, apierrors.NewGenericServerResponse(http.StatusForbidden, r.Method, schema.GroupResource{}, "", "only administrators may do this", 0, true))
		default:
			handler(w, r)
		}
	}
}

// refuse answers with an error in the form of Kubernetes.
func refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.ErrStatus
	status.APIVersion, status.Kind = "v1", "Status"
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}

func (n *node) statusHandler(w http.ResponseWriter, r *http.Request) {
	status := n.status(r.Context())
	if by, ok := forward.From(r.Context()); ok {
		status.Node = by.Name // a worker, which was asked and passed it on
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(status)
}

func (n *node) status(ctx context.Context) Status {
	nodes := map[string]*corev1.Node{}
	for node := range store.List[*corev1.Node](n.store.Snapshot(), "nodes", "") {
		nodes[node.Annotations[nodeIDAnnotation]] = node
	}
	s := describe(n.store.Members(), n.gossip.Members(), nodes, n.store.LeaderID())
	s.Node = n.cfg.Name
	speakers := n.speakers()
	s.tell(speakers)
	s.Protocol = protocolStatus(n.store.Snapshot().Agreed(), speakers)
	revisions := make([]uint64, len(s.Members))
	var asking sync.WaitGroup
	for i := range s.Members {
		switch m := &s.Members[i]; {
		case m.ID == n.identity.NodeID():
			revisions[i] = n.store.Snapshot().Revision()
		case m.Alive:
			asking.Go(func() {
				m.Millis, revisions[i] = n.ping(ctx, m.ID)
				m.Silent = m.Millis == 0
			})
		}
	}
	asking.Wait()
	s.CanLose, s.Summary = canLose(s.Members, s.Node)
	if err := n.dismissed(); err != nil {
		s.Summary = err.Error() + "."
	}
	newest := slices.Max(revisions)
	for i := range s.Members {
		if revisions[i] > 0 && s.Members[i].Role != RoleLeader { // who was asked before others is not behind them for that
			s.Members[i].Behind = newest - revisions[i]
		}
	}
	return s
}

// names of the Node objects, by the nodes' IDs.
func (n *node) names() map[string]string { return namesIn(n.store.Snapshot()) }

func namesIn(snap *store.Snapshot) map[string]string {
	names := map[string]string{}
	for node := range store.List[*corev1.Node](snap, "nodes", "") {
		names[node.Annotations[nodeIDAnnotation]] = node.Name
	}
	return names
}

// ping measures the way to a node and back, and asks for the revision of its replica; 0 when it does not answer.
func (n *node) ping(ctx context.Context, nodeID string) (millis float64, revision uint64) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	began := time.Now()
	revision, err := n.peers.Progress(ctx, nodeID)
	if err != nil {
		return 0, 0
	}
	return float64(time.Since(began).Microseconds()) / 1000, revision
}
