package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/node/clock"
	"covey.dev/covey/node/join"
	"covey.dev/covey/node/registry"
	"covey.dev/covey/store"
)

// TestWhatHasExpiredGoes a day later: some was there before, some comes.
func TestWhatHasExpiredGoes(t *testing.T) {
	st := runningStore(t)
	quietly := slog.New(slog.DiscardHandler)
	ticks := func() time.Duration { return 0 }
	n := &node{base: &base{log: quietly, clock: clock.Open(filepath.Join(t.TempDir(), "time"), time.Now, ticks, quietly)}, store: st}
	put := func(name string, kind corev1.SecretType, ended time.Duration) {
		t.Helper()
		data := map[string][]byte{}
		if ended != 0 {
			data["expiration"] = []byte(time.Now().Add(-ended).UTC().Format(time.RFC3339))
		}
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
			tx.Create(store.Key{Resource: "secrets", Namespace: "kube-system", Name: name}, &corev1.Secret{Type: kind, Data: data})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	const day = 24 * time.Hour
	stay := map[string]bool{"for-ever": true, "in-a-day": true, "an-hour-ago": true, "a-users": true}
	put("for-ever", join.SecretType, 0)
	put("in-a-day", join.SecretType, -day)
	put("an-hour-ago", join.SecretType, time.Hour)
	put("a-users", corev1.SecretTypeOpaque, 2*day)
	put("old-token", join.SecretType, 2*day)
	admitted := func(id string, ago time.Duration) {
		t.Helper()
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
			return note(tx, noted{Admission: join.Admission{Name: id, Time: time.Now().Add(-ago)}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	admitted("just-now", 0)
	admitted("never-started", 2*join.AdmissionLife)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.removeExpired(ctx) }()
	put("old-login", registry.LoginType, 2*day)
	enough := errors.New("enough")
	if err := follow(t.Context(), st, func(snap *store.Snapshot) (time.Duration, error) {
		var left []string
		for rec := range snap.List("secrets", "kube-system") {
			left = append(left, rec.Key().Name)
			if len(left) > len(stay) {
				return 0, nil
			}
		}
		for _, name := range left {
			if !stay[name] {
				return 0, fmt.Errorf("left are %v", left)
			}
		}
		return 0, enough
	}, "secrets"); !errors.Is(err, enough) {
		t.Error(err)
	}
	if left := admissions(st.Snapshot(), 0); len(left) != 1 || left[0].Name != "just-now" {
		t.Errorf("admissions that are left: %v", left)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
