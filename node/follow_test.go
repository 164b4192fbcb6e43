package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/store"
)

// expiring is a state whose watches begin after they have expired every other time.
type expiring struct {
	*store.Store
	watches int
}

func (e *expiring) Watch(from uint64, tables ...string) (*store.Watcher, error) {
	if e.watches++; e.watches%2 == 1 {
		return nil, store.ErrExpired
	}
	return e.Store.Watch(from, tables...)
}

// TestFollowLooksAtEachState makes a change whenever the one before was looked at.
func TestFollowLooksAtEachState(t *testing.T) {
	st := runningStore(t)
	put := func(table, name string) {
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
			tx.Create(store.Key{Resource: table, Name: name}, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}})
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	put("a.example", "first")
	var seen []int
	enough := errors.New("enough")
	err := follow(t.Context(), &expiring{Store: st}, func(snap *store.Snapshot) (time.Duration, error) {
		seen = append(seen, snap.Count("a.example", "")+snap.Count("b.example", ""))
		switch len(seen) {
		case 1:
			put("a.example", "second")
		case 2:
			put("b.example", "third")
		case 3:
			put("c.example", "not followed")
			return time.Millisecond, nil
		case 4:
			return 0, enough
		}
		return 0, nil
	}, "a.example", "b.example")
	if !errors.Is(err, enough) || !slices.Equal(seen, []int{1, 2, 3, 3}) {
		t.Errorf("it saw %v objects, and ended with %v", seen, err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	err := follow(ctx, runningStore(t), func(*store.Snapshot) (time.Duration, error) { end(); return time.Hour, nil }, "a.example")
	if err != nil {
		t.Error(err)
	}
}
