package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/join"
	"covey.dev/covey/store"
)

// admissionsTable has an object for the name of each node that was let in of late. The API does not serve it.
const admissionsTable = "admissions.covey.dev"

func admissionKey(name string) store.Key { return store.Key{Resource: admissionsTable, Name: name} }

// joinable implements join.Cluster.
type joinable struct{ *node }

func (j joinable) Admit(ctx context.Context, namespace, name string, use join.Use) error {
	key := store.Key{Resource: "secrets", Namespace: namespace, Name: name}
	generation := j.identity.Keys().Generation
	_, err := j.store.Update(ctx, func(tx *store.Tx) error {
		old, _ := store.Get[*corev1.Secret](tx.Snapshot(), key)
		secret, a, err := use(old, admissions(tx.Snapshot(), generation))
		if err != nil {
			return err
		}
		readmit(tx, a.NodeID)
		if err := note(tx, noted{a, generation}); err != nil || secret == old {
			return err
		}
		rec, _ := tx.Get(key)
		if secret == nil {
			tx.Delete(key, rec.Revision())
		} else {
			tx.Put(key, secret, rec.Revision())
		}
		return nil
	})
	return err
}

// noted is an admission as it is stored.
type noted struct {
	join.Admission
	Keys uint64 `json:"keys"` // the generation of those that the node was handed
}

// note has an admission take the place of what is noted under the same name, so that of two at once one sees the other.
func note(tx *store.Tx, a noted) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	tx.Set(admissionKey(a.Name), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: a.Name}, BinaryData: map[string][]byte{"admission": data}})
	return nil
}

// admissions are those of nodes that were handed keys of that generation and have had no Node object since.
func admissions(snap *store.Snapshot, generation uint64) (list []join.Admission) {
	for rec := range snap.List(admissionsTable, "") {
		a, ok := admissionIn(rec)
		if _, started := snap.Get(nodeKey(a.NodeID)); ok && !started && a.Keys == generation {
			list = append(list, a.Admission)
		}
	}
	return list
}

func admissionIn(rec *store.Record) (a noted, ok bool) {
	object, ok := rec.Object().(*corev1.ConfigMap)
	return a, ok && json.Unmarshal(object.BinaryData["admission"], &a) == nil
}

func (j joinable) CheckName(name, nodeID string, worker bool) error {
	if m, ok := j.gossip.Named(name); ok && m.ID != nodeID {
		return fmt.Errorf("another node is called %q: start this one with another --node-name", name)
	}
	if holder := keyOf(j.store.Snapshot(), name); worker && holder != nodeID && j.holdsState(holder) {
		return fmt.Errorf("%q is a server, which is not there: take it out (covey node remove %s), or start this worker with another --node-name", name, name)
	}
	return nil
}

func (n *node) holdsState(nodeID string) bool {
	role, known := n.RoleOf(nodeID)
	return known && role == identity.RoleServer
}

func (j joinable) Agreed() int { return j.store.Snapshot().Agreed() }

func (j joinable) Grant() (join.Grant, error) {
	return join.Grant{Keys: j.identity.Keys(), Seeds: j.seeds(), Incarnation: j.incarnation, Time: j.clock.Now()}, nil
}

// GrantWorker makes a certificate that is good for the address that the worker has, unless that is another node's.
func (j joinable) GrantWorker(name string, csr []byte, address net.IP) (join.Grant, error) {
	cert, err := j.issueWorker(name, csr, address)
	keys := j.identity.Keys()
	return join.Grant{Keys: keys.ForWorker(), Certificate: cert, Seeds: j.seeds(), Time: j.clock.Now()}, err
}

func (n *node) issueWorker(name string, csr []byte, address net.IP) ([]byte, error) {
	nodeID, err := identity.RequestID(csr)
	if err != nil {
		return nil, err
	}
	for _, m := range n.gossip.Members() {
		if m.ID != nodeID && m.At(address) {
			address = nil // several nodes behind one
		}
	}
	return n.identity.IssueWorker(name, csr, address)
}

func (j joinable) seeds() (addresses []string) {
	for _, m := range j.gossip.Members() {
		addresses = append(addresses, m.Addresses...)
	}
	return addresses
}
