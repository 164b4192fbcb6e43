package node

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/remote"
	"covey.dev/covey/node/upstream"
	"covey.dev/covey/store"
)

func nodeOf(name, id string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{nodeIDAnnotation: id}}}
}

// runningStore is one that takes writes, until the test ends.
func runningStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(store.Config{Dir: t.TempDir(), NodeID: "n1", Scheme: kind.Scheme(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return st
}

// TestANodeIsGoneWhenItsObjectIs tells nodes that were removed from those that have just joined, and lets them be new again.
func TestANodeIsGoneWhenItsObjectIs(t *testing.T) {
	st := runningStore(t)
	object := func(name string) store.Key { return store.Key{Resource: "nodes", Name: name} }
	nothing := func(*store.Tx) {}
	for _, step := range []struct {
		name    string
		do      func(*store.Tx)
		members string // of Raft
		gone    []string
		told    []string // to workers
		pending bool
	}{
		{"two have joined", func(tx *store.Tx) {
			tx.Create(object("a"), nodeOf("a", "1"))
			tx.Create(object("b"), nodeOf("b", "2"))
		}, "12", nil, nil, false},
		{"one is to be removed", func(tx *store.Tx) {
			rec, _ := tx.Get(object("b"))
			tx.Delete(rec.Key(), rec.Revision())
		}, "12", []string{"2"}, nil, true},
		{"it is", nothing, "1", []string{"2"}, []string{"2"}, false},
		{"another has its name", func(tx *store.Tx) { tx.Create(object("b"), nodeOf("b", "3")) }, "13", []string{"2"}, []string{"2"}, false},
		{"it joins again", func(tx *store.Tx) { readmit(tx, "2") }, "13", nil, nil, false},
		{"one that never joined is let in", func(tx *store.Tx) { readmit(tx, "4") }, "13", nil, nil, false},
		{"this node's own object is deleted", func(tx *store.Tx) {
			rec, _ := tx.Get(object("a"))
			tx.Delete(rec.Key(), rec.Revision())
		}, "13", nil, nil, true},
	} {
		_, err := st.Update(t.Context(), func(tx *store.Tx) error { step.do(tx); return nil })
		pending := false
		if err == nil {
			_, err = st.Update(t.Context(), func(tx *store.Tx) error {
				pending = recordNodeKeys(tx, func(id string) bool { return strings.Contains(step.members, id) })
				return nil
			})
		}
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if pending != step.pending {
			t.Errorf("%s: pending is %v", step.name, pending)
		}
		for table, want := range map[string][]string{nodeKeysTable: step.gone, remote.RemovedTable: step.told} {
			var g gone
			g.count(st.Snapshot(), table, "1")
			if got := slices.Sorted(maps.Keys(*g.ids.Load())); !slices.Equal(got, want) {
				t.Errorf("%s: gone by %s are %v, want %v", step.name, table, got, want)
			}
		}
	}
}

// TestAServerIsOneAfterTheClusterWasRecoveredWithoutIt: it is handed the CA's key, as a worker is not.
func TestAServerIsOneAfterTheClusterWasRecoveredWithoutIt(t *testing.T) {
	st := runningStore(t)
	n := &node{store: st}
	record := func(members string) {
		t.Helper()
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
			recordNodeKeys(tx, func(id string) bool { return strings.Contains(members, id) })
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for id, name := range map[string]string{"1": "server", "2": "worker", "3": "late"} {
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
			tx.Create(store.Key{Resource: "nodes", Name: name}, nodeOf(name, id))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	record("1")
	record("13") // which had a Node object before it was a member
	before := st.Snapshot().Revision()
	record("")
	if after := st.Snapshot().Revision(); after != before {
		t.Error("what is known already is written again")
	}
	for id, want := range map[string]identity.Role{"1": identity.RoleServer, "2": identity.RoleWorker, "3": identity.RoleServer} {
		if role, known := n.RoleOf(id); role != want || !known || n.holdsState(id) != (want == identity.RoleServer) {
			t.Errorf("node %s is %v, known %v; want %v", id, role, known, want)
		}
	}
	for _, id := range []string{"", "4"} {
		if _, known := n.RoleOf(id); known || n.holdsState(id) {
			t.Errorf("node %q is known", id)
		}
	}
}

// TestAWorkerThatWasRemovedDoesNotRegister by a connection that it has still, neither as itself nor in the place of another, until it is let in again.
func TestAWorkerThatWasRemovedDoesNotRegister(t *testing.T) {
	st := runningStore(t)
	update := func(do func(*store.Tx)) {
		t.Helper()
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error { do(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	object := store.Key{Resource: "nodes", Name: "w"}
	remove := func(tx *store.Tx) {
		rec, _ := tx.Get(object)
		tx.Delete(object, rec.Revision())
	}
	worker := nodeOf("w", "1")
	worker.Spec.PodCIDR = "10.42.3.0/24"
	register := func(step string, want error) {
		t.Helper()
		w := upstream.NewWriter(st, "w", time.Now, uuid.NewUUID).Admitting(admitWorker)
		before := st.Snapshot().Revision()
		_, err := w.Register(t.Context(), worker)
		if !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", step, err, want)
		}
		if want != nil && st.Snapshot().Revision() != before {
			t.Errorf("%s: something was written", step)
		}
	}
	register("it has joined", nil)
	register("it is known", nil)
	update(remove)
	register("it was removed", remote.ErrRemoved)
	update(func(tx *store.Tx) { tx.Create(object, nodeOf("w", "2")) })
	register("another has its name", remote.ErrRemoved)
	update(remove)
	update(func(tx *store.Tx) { readmit(tx, "1") })
	register("it was let in again", nil)
	update(remove)
	update(func(tx *store.Tx) { recordNodeKeys(tx, func(string) bool { return false }) })
	register("it was removed again, and the leader has seen it", remote.ErrRemoved)
}

// TestTheRollGoesByKeys has another node gossip the name of one that is dead.
func TestTheRollGoesByKeys(t *testing.T) {
	lost := nodeOf("c", "3")
	lost.Status = nodeSaying(corev1.ConditionUnknown, unknownReason).Status
	alive, missing := rollOf([]gossip.Member{{ID: "1", Name: "a"}, {ID: "9", Name: "b"}, {ID: "8", Name: "c"}},
		slices.Values([]*corev1.Node{nodeOf("a", "1"), nodeOf("b", "2"), lost}))
	if !maps.Equal(alive, map[string]bool{"a": true}) || !maps.Equal(missing, map[string]string{"b": "2"}) {
		t.Errorf("alive are %v, missing %v", alive, missing)
	}
}
