package node

import (
	"context"
	"encoding/json"
	"net"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/join"
	"covey.dev/covey/store"
)

// admissionsTable has an object for each node that was let in and has no Node object yet. The API does not serve it.
const admissionsTable = "admissions.covey.dev"

func admissionKey(nodeID string) store.Key { return store.Key{Resource: admissionsTable, Name: nodeID} }

// joinable implements join.Cluster.
type joinable struct{ *node }

func (j joinable) Admit(ctx context.Context, a join.Admission, namespace, name string, use func(*corev1.Secret, []join.Admission) (*corev1.Secret, error)) error {
	key := store.Key{Resource: "secrets", Namespace: namespace, Name: name}
	_, err := j.store.Update(ctx, func(tx *store.Tx) error {
		old, _ := store.Get[*corev1.Secret](tx.Snapshot(), key)
		secret, err := use(old, admissions(tx.Snapshot()))
		if err != nil {
			return err
		}
		readmit(tx, a.NodeID)
		if err := note(tx, a); err != nil || secret == old {
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

// note has an admission take the place of what is noted of the same node.
func note(tx *store.Tx, a join.Admission) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: a.NodeID}, BinaryData: map[string][]byte{"admission": data}}
	if rec, ok := tx.Get(admissionKey(a.NodeID)); ok {
		tx.Put(rec.Key(), object, rec.Revision())
	} else {
		tx.Create(admissionKey(a.NodeID), object)
	}
	return nil
}

// dropAdmission removes what is noted of a node's admission.
func dropAdmission(tx *store.Tx, nodeID string) {
	if rec, ok := tx.Get(admissionKey(nodeID)); ok {
		tx.Delete(rec.Key(), rec.Revision())
	}
}

// admissions are those of nodes that have not started yet.
func admissions(snap *store.Snapshot) (noted []join.Admission) {
	for rec := range snap.List(admissionsTable, "") {
		if a, ok := admissionIn(rec); ok {
			noted = append(noted, a)
		}
	}
	return noted
}

func admissionIn(rec *store.Record) (a join.Admission, ok bool) {
	object, ok := rec.Object().(*corev1.ConfigMap)
	return a, ok && json.Unmarshal(object.BinaryData["admission"], &a) == nil
}

func (j joinable) NameTaken(name, nodeID string) bool {
	m, ok := j.gossip.Named(name)
	return ok && m.ID != nodeID
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
