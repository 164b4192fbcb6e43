package node

import (
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/join"
	"covey.dev/covey/store"
)

// newJoinable is a cluster of one server.
func newJoinable(t *testing.T) joinable {
	t.Helper()
	id, err := identity.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return joinable{&node{base: &base{identity: id}, store: runningStore(t)}}
}

// TestAnAdmissionIsNotedUntilTheNodeHasStarted, together with the use of the token: both or neither.
func TestAnAdmissionIsNotedUntilTheNodeHasStarted(t *testing.T) {
	j := newJoinable(t)
	st, id := j.store, j.identity
	token := store.Key{Resource: "secrets", Namespace: "kube-system", Name: "token"}
	update := func(do func(*store.Tx)) {
		t.Helper()
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error { do(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) { tx.Create(token, &corev1.Secret{}) })
	admit := func(a join.Admission, err error) {
		t.Helper()
		if got := j.Admit(t.Context(), token.Namespace, token.Name, func(*corev1.Secret, []join.Admission) (*corev1.Secret, join.Admission, error) {
			return nil, a, err
		}); !errors.Is(got, err) {
			t.Errorf("error %v, want %v", got, err)
		}
	}
	noted := func(want ...join.Admission) {
		t.Helper()
		if got := admissions(st.Snapshot(), id.Keys().Generation); !slices.Equal(got, want) {
			t.Errorf("noted are %v, want %v", got, want)
		}
	}
	admit(join.Admission{NodeID: "1"}, errors.New("refused"))
	if _, there := st.Snapshot().Get(token); !there {
		t.Error("a node that is refused uses the token")
	}
	noted()
	first := join.Admission{NodeID: "1", Name: "a", TokenID: "t", Worker: true, Time: time.Unix(1, 0).UTC()}
	second := join.Admission{NodeID: "2", Name: "b"}
	admit(first, nil)
	if _, there := st.Snapshot().Get(token); there {
		t.Error("the token is not used")
	}
	admit(second, nil)
	noted(first, second)
	other := join.Admission{NodeID: "3", Name: "a"}
	admit(other, nil)
	noted(other, second)
	update(func(tx *store.Tx) { tx.Create(store.Key{Resource: "nodes", Name: "b"}, nodeOf("b", "2")) })
	update(func(tx *store.Tx) { recordNodeKeys(tx, func(string) bool { return false }) })
	noted(other)

	keys := id.Keys()
	keys, err := keys.RotateCA(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := id.Install(keys); err != nil {
		t.Fatal(err)
	}
	noted()
}

// TestOfTwoAdmissionsAtOnceOneSeesTheOther, though neither writes the token.
func TestOfTwoAdmissionsAtOnceOneSeesTheOther(t *testing.T) {
	j := newJoinable(t)
	taken := errors.New("taken")
	admit := func(nodeID string, before func()) error {
		return j.Admit(t.Context(), "kube-system", "token", func(s *corev1.Secret, noted []join.Admission) (*corev1.Secret, join.Admission, error) {
			if len(noted) > 0 {
				return nil, join.Admission{}, taken
			}
			before()
			return s, join.Admission{NodeID: nodeID, Name: "same"}, nil
		})
	}
	err := admit("1", func() {
		if err := admit("2", func() {}); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, taken) {
		t.Errorf("error %v, want that the other is seen", err)
	}
}
