package node

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/node/gossip"
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
	for _, step := range []struct {
		name string
		do   func(*store.Tx)
		gone []string
	}{
		{"two have joined", func(tx *store.Tx) {
			tx.Create(object("a"), nodeOf("a", "1"))
			tx.Create(object("b"), nodeOf("b", "2"))
		}, nil},
		{"one is removed", func(tx *store.Tx) {
			rec, _ := tx.Get(object("b"))
			tx.Delete(rec.Key(), rec.Revision())
		}, []string{"2"}},
		{"another has its name", func(tx *store.Tx) { tx.Create(object("b"), nodeOf("b", "3")) }, []string{"2"}},
		{"it joins again", func(tx *store.Tx) { readmit(tx, "2") }, nil},
		{"one that never joined is let in", func(tx *store.Tx) { readmit(tx, "4") }, nil},
		{"this node's own object is deleted", func(tx *store.Tx) {
			rec, _ := tx.Get(object("a"))
			tx.Delete(rec.Key(), rec.Revision())
		}, nil},
	} {
		_, err := st.Update(t.Context(), func(tx *store.Tx) error { step.do(tx); return nil })
		if err == nil {
			_, err = st.Update(t.Context(), recordNodeKeys)
		}
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		var g gone
		g.count(st.Snapshot(), "1")
		if got := slices.Sorted(maps.Keys(*g.ids.Load())); !slices.Equal(got, step.gone) {
			t.Errorf("%s: gone are %v, want %v", step.name, got, step.gone)
		}
	}
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
