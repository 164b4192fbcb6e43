package node

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/node/join"
	"covey.dev/covey/store"
)

// TestAnAdmissionIsNotedUntilTheNodeHasStarted, together with the use of the token: both or neither.
func TestAnAdmissionIsNotedUntilTheNodeHasStarted(t *testing.T) {
	st := runningStore(t)
	j := joinable{&node{store: st}}
	token := store.Key{Resource: "secrets", Namespace: "kube-system", Name: "token"}
	update := func(do func(*store.Tx)) {
		t.Helper()
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error { do(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) { tx.Create(token, &corev1.Secret{}) })
	refused := errors.New("refused")
	admit := func(a join.Admission, err error) {
		t.Helper()
		if got := j.Admit(t.Context(), a, token.Namespace, token.Name, func(*corev1.Secret, []join.Admission) (*corev1.Secret, error) {
			return nil, err
		}); !errors.Is(got, err) {
			t.Errorf("error %v, want %v", got, err)
		}
	}
	admit(join.Admission{NodeID: "1"}, refused)
	if _, there := st.Snapshot().Get(token); !there || len(admissions(st.Snapshot())) != 0 {
		t.Error("a node that is refused uses the token, or is noted")
	}
	first := join.Admission{NodeID: "1", Name: "a", TokenID: "t", Worker: true, Time: time.Unix(1, 0).UTC()}
	admit(first, nil)
	if noted := admissions(st.Snapshot()); len(noted) != 1 || noted[0] != first {
		t.Errorf("noted are %v, want %v", noted, first)
	}
	if _, there := st.Snapshot().Get(token); there {
		t.Error("the token is not used")
	}
	renamed := first
	renamed.Name = "b"
	admit(renamed, nil)
	admit(join.Admission{NodeID: "2", Name: "c"}, nil)
	update(func(tx *store.Tx) { tx.Create(store.Key{Resource: "nodes", Name: "c"}, nodeOf("c", "2")) })
	update(func(tx *store.Tx) { recordNodeKeys(tx, func(string) bool { return false }) })
	if noted := admissions(st.Snapshot()); len(noted) != 1 || noted[0] != renamed {
		t.Errorf("noted are %v, want %v", noted, renamed)
	}
}
