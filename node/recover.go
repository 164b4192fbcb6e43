package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// RecoverPath is where an administrator asks a node what its recovery would do (GET, a Recovery), and has it begin (POST).
const RecoverPath = "/covey/recover"

// Recovery is what it means to make one server the only one of its cluster.
type Recovery struct {
	Node     string   `json:"node"`     // that goes on
	Revision uint64   `json:"revision"` // of its state
	Missing  []string `json:"missing"`  // servers that vote and do not answer
	Copies   []string `json:"copies"`   // servers that are alive, and copy its state
	Refused  string   `json:"refused"`  // why it is not possible; empty if it is
}

func (n *node) recoverHandler(w http.ResponseWriter, r *http.Request) {
	plan := n.planRecovery()
	switch {
	case r.Method == http.MethodGet:
	case r.Method != http.MethodPost:
		refuse(w, apierrors.NewMethodNotSupported(schema.GroupResource{Resource: "recover"}, r.Method))
		return
	case plan.Refused != "":
		refuse(w, apierrors.NewBadRequest("recover: "+plan.Refused))
		return
	default:
		if err := writeFile(filepath.Join(n.cfg.DataDir, recoverFile), "yes\n"); err != nil {
			refuse(w, apierrors.NewInternalError(fmt.Errorf("recover: %w", err)))
			return
		}
		n.log.Warn("the cluster is recovered with this node as its only server", "missing", plan.Missing)
		defer n.end(ErrAgain)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(plan)
}

func (n *node) planRecovery() Recovery {
	q := n.quorum()
	plan := Recovery{Node: n.cfg.Name, Revision: n.store.Snapshot().Revision(), Missing: q.missing, Copies: q.others}
	removed := n.dismissed()
	switch {
	case removed != nil:
		plan.Refused = removed.Error() + ". Only if that cluster is lost too, and this is all that is left of it, stop it and run covey recover --data-dir " + n.cfg.DataDir
	case n.cfg.Witness:
		plan.Refused = "a witness cannot go on alone: run this on a server, or start covey here without --witness"
	case q.leader != "":
		plan.Refused = fmt.Sprintf("%s leads the cluster: there is nothing to recover", q.leader)
	case q.voters == 0:
		plan.Refused = "this node is no member of a cluster yet"
	case q.lacks() == 0:
		plan.Refused = fmt.Sprintf("%d of %d servers that vote are alive, which is enough: they elect a leader within seconds", q.voters-len(q.missing), q.voters)
	}
	return plan
}

// quorum is who votes and who is there, as this node sees it.
type quorum struct {
	leader  string   // its name; "" where there is none
	voters  int      // how many servers vote
	self    bool     // this node votes
	missing []string // voters that are not alive, by name
	others  []string // other servers that are alive, by name
}

func (n *node) quorum() quorum {
	names, alive := n.names(), map[string]bool{}
	var q quorum
	for _, m := range n.gossip.Members() {
		if !n.serves(m) {
			continue
		}
		names[m.ID], alive[m.ID] = m.Name, true
		if m.ID != n.identity.NodeID() {
			q.others = append(q.others, m.Name)
		}
	}
	nameOf := func(id string) string {
		if names[id] == "" {
			return id
		}
		return names[id]
	}
	for _, m := range n.store.Members() {
		if !m.Voter {
			continue
		}
		q.voters++
		q.self = q.self || m.ID == n.identity.NodeID()
		if !alive[m.ID] {
			q.missing = append(q.missing, nameOf(m.ID))
		}
	}
	slices.Sort(q.missing)
	if id := n.store.LeaderID(); id != "" {
		q.leader = nameOf(id)
	}
	return q
}

// lacks is how many of the servers that vote are missing for a majority.
func (q quorum) lacks() int {
	if q.voters == 0 {
		return 0 // it is not known yet who votes
	}
	return max(0, q.voters/2+1-(q.voters-len(q.missing)))
}

// noMajority says why nothing can be written at the moment, and what helps; nil while a leader is there or is about to be.
func (n *node) noMajority() error {
	if n.store.LeaderID() != "" || time.Since(n.gossiping) < newsTime {
		return nil
	}
	if err := n.dismissed(); err != nil {
		return err
	}
	q := n.quorum()
	if q.lacks() == 0 {
		return nil
	}
	return fmt.Errorf("the cluster has lost its majority, or %s is cut off from it: %s, and %d of %d servers that vote are there where %d are needed. "+
		"Start what is missing, with --join if all are at other addresses now; if it is gone for good, run %s on %s",
		n.cfg.Name, doNotAnswer(q.missing), q.voters-len(q.missing), q.voters, q.voters/2+1, recovery(q.self, q.voters), n.cfg.Name)
}

// recovery is the command by which a server goes on without the voters that are lost; of two servers the one without a vote is promoted.
func recovery(votes bool, voters int) string {
	if !votes && voters == 1 {
		return "covey promote"
	}
	return "covey recover"
}

func doNotAnswer(names []string) string {
	if len(names) == 1 {
		return names[0] + " does not answer"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " do not answer"
}

// Incarnation implements peer.Leader.
func (n *node) Incarnation() uint64 { return n.incarnation }
