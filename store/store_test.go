package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// start opens a store and runs it; stop ends it cleanly and may be called again. Both are done by the test's end.
func start(t testing.TB, dir string, change ...func(*Config)) (s *Store, stop func()) {
	t.Helper()
	cfg := Config{Dir: dir, NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func configMap(namespace, name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: "7777"},
		Data:       map[string]string{"v": value},
	}
}

func mapKey(namespace, name string) Key {
	return Key{Resource: "configmaps", Namespace: namespace, Name: name}
}

func value(v *Snapshot, namespace, name string) string {
	if cm, ok := Get[*corev1.ConfigMap](v, mapKey(namespace, name)); ok {
		return cm.Data["v"]
	}
	return "(none)"
}

// set creates or replaces a config map and returns the revision.
func set(t testing.TB, s *Store, namespace, name, value string) uint64 {
	t.Helper()
	rev, err := s.Update(testContext(t), func(tx *Tx) error {
		tx.Set(mapKey(namespace, name), configMap(namespace, name, value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func remove(t testing.TB, s *Store, namespace, name string) uint64 {
	t.Helper()
	rev, err := s.Update(testContext(t), func(tx *Tx) error {
		r, _ := tx.Get(mapKey(namespace, name))
		tx.Delete(r.Key(), r.Revision())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestObjectsComeBackWithTypeAndRevision(t *testing.T) {
	s, _ := start(t, t.TempDir())
	original := configMap("default", "a", "1")
	rev, err := s.Update(testContext(t), func(tx *Tx) error {
		tx.Create(mapKey("default", "a"), original)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if original.ResourceVersion != "7777" || original.Kind != "" {
		t.Errorf("the caller's object was changed: %+v", original.ObjectMeta)
	}
	r, ok := s.Snapshot().Get(mapKey("default", "a"))
	if !ok || r.Revision() != rev || s.Snapshot().Revision() != rev {
		t.Fatalf("record %v %v, want revision %d", r, ok, rev)
	}
	obj := r.Object().(*corev1.ConfigMap)
	if obj.APIVersion != "v1" || obj.Kind != "ConfigMap" || obj.ResourceVersion != strconv.FormatUint(rev, 10) || obj.Data["v"] != "1" {
		t.Errorf("got %+v", obj)
	}
}

func TestExpectations(t *testing.T) {
	s, _ := start(t, t.TempDir())
	first := set(t, s, "default", "a", "1")
	second := set(t, s, "default", "a", "2")
	errMine := errors.New("mine")
	for name, tc := range map[string]struct {
		fn   func(*Tx) error
		want error
	}{
		"create what exists": {func(tx *Tx) error { tx.Create(mapKey("default", "a"), configMap("default", "a", "x")); return nil }, ErrConflict},
		"put an old one":     {func(tx *Tx) error { tx.Put(mapKey("default", "a"), configMap("default", "a", "x"), first); return nil }, ErrConflict},
		"put what is gone":   {func(tx *Tx) error { tx.Put(mapKey("default", "b"), configMap("default", "b", "x"), first); return nil }, ErrConflict},
		"delete an old one":  {func(tx *Tx) error { tx.Delete(mapKey("default", "a"), first); return nil }, ErrConflict},
		"all or nothing": {func(tx *Tx) error {
			tx.Create(mapKey("default", "b"), configMap("default", "b", "x"))
			tx.Delete(mapKey("default", "a"), first)
			return nil
		}, ErrConflict},
		"own error": {func(tx *Tx) error {
			tx.Create(mapKey("default", "b"), configMap("default", "b", "x"))
			return errMine
		}, errMine},
	} {
		if _, err := s.Update(testContext(t), tc.fn); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	for name, fn := range map[string]func(*Tx) error{
		"two effects on one key": func(tx *Tx) error {
			tx.Delete(mapKey("default", "a"), second)
			tx.Create(mapKey("default", "a"), configMap("default", "a", "x"))
			return nil
		},
		"no name":       func(tx *Tx) error { tx.Delete(mapKey("default", ""), second); return nil },
		"NUL in a name": func(tx *Tx) error { tx.Delete(mapKey("default\x00", "a"), second); return nil },
		"unknown type": func(tx *Tx) error {
			tx.Create(mapKey("default", "b"), &metav1.PartialObjectMetadata{})
			return nil
		},
	} {
		if _, err := s.Update(testContext(t), fn); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if v := s.Snapshot(); v.Revision() != second || value(v, "default", "a") != "2" || v.Count("configmaps", "") != 1 {
		t.Errorf("the state changed: revision %d, a=%s", v.Revision(), value(v, "default", "a"))
	}
	rev, err := s.Update(testContext(t), func(*Tx) error { return nil })
	if err != nil || rev != second {
		t.Errorf("empty transaction: %d %v, want %d", rev, err, second)
	}
}

func TestConflictRunsTheTransactionAgain(t *testing.T) {
	s, _ := start(t, t.TempDir())
	set(t, s, "default", "a", "0")
	runs := 0
	_, err := s.Update(testContext(t), func(tx *Tx) error {
		runs++
		r, _ := tx.Get(mapKey("default", "a"))
		if runs == 1 {
			set(t, s, "default", "a", "5")
		}
		n, _ := strconv.Atoi(r.Object().(*corev1.ConfigMap).Data["v"])
		tx.Put(r.Key(), configMap("default", "a", strconv.Itoa(n+1)), r.Revision())
		return nil
	})
	if err != nil || runs != 2 || value(s.Snapshot(), "default", "a") != "6" {
		t.Errorf("err %v after %d runs, a=%s; want 6 after 2", err, runs, value(s.Snapshot(), "default", "a"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // for over a hundred writes to the disk
	defer cancel()
	_, err = s.Update(ctx, func(tx *Tx) error {
		r, _ := tx.Get(mapKey("default", "a"))
		set(t, s, "default", "a", "other")
		tx.Put(r.Key(), configMap("default", "a", "mine"), r.Revision())
		return nil
	})
	if !errors.Is(err, ErrConflict) {
		t.Errorf("always too late: %v, want ErrConflict", err)
	}
}

func TestConcurrentIncrementsAreNotLost(t *testing.T) {
	s, _ := start(t, t.TempDir())
	set(t, s, "default", "n", "0")
	const clients, increments = 8, 15
	var wg sync.WaitGroup
	var revisions sync.Map
	var retried atomic.Int64
	for range clients {
		wg.Go(func() {
			for done := 0; done < increments; {
				rev, err := s.Update(testContext(t), func(tx *Tx) error {
					r, _ := tx.Get(mapKey("default", "n"))
					n, _ := strconv.Atoi(r.Object().(*corev1.ConfigMap).Data["v"])
					tx.Put(r.Key(), configMap("default", "n", strconv.Itoa(n+1)), r.Revision())
					return nil
				})
				switch {
				case errors.Is(err, ErrConflict):
					retried.Add(1)
					continue
				case err != nil:
					t.Error(err)
					return
				}
				if _, twice := revisions.LoadOrStore(rev, true); twice {
					t.Errorf("revision %d was given twice", rev)
				}
				if seen := s.Snapshot().Revision(); seen < rev {
					t.Errorf("own write %d is not in the snapshot at %d", rev, seen)
				}
				done++
			}
		})
	}
	wg.Wait()
	if got := value(s.Snapshot(), "default", "n"); got != strconv.Itoa(clients*increments) {
		t.Errorf("n=%s, want %d (%d transactions gave up and were repeated)", got, clients*increments, retried.Load())
	}
}

func TestSnapshotsAreIsolatedAndOrdered(t *testing.T) {
	s, _ := start(t, t.TempDir())
	for _, name := range []string{"b/2", "a/9", "b/1", "ab/1", "a/10"} {
		namespace, name, _ := strings.Cut(name, "/")
		set(t, s, namespace, name, "old")
	}
	old := s.Snapshot()
	set(t, s, "a", "9", "new")
	remove(t, s, "b", "1")
	set(t, s, "c", "1", "new")

	names := func(v *Snapshot, namespace string) (got []string) {
		for r := range v.List("configmaps", namespace) {
			got = append(got, r.Key().Namespace+"/"+r.Key().Name+"="+r.Object().(*corev1.ConfigMap).Data["v"])
		}
		return got
	}
	for _, tc := range []struct {
		v         *Snapshot
		namespace string
		want      string
	}{
		{old, "", "[a/10=old a/9=old ab/1=old b/1=old b/2=old]"},
		{old, "a", "[a/10=old a/9=old]"},
		{old, "c", "[]"},
		{s.Snapshot(), "", "[a/10=old a/9=new ab/1=old b/2=old c/1=new]"},
	} {
		if got := fmt.Sprint(names(tc.v, tc.namespace)); got != tc.want {
			t.Errorf("List(%q) at %d: %s, want %s", tc.namespace, tc.v.Revision(), got, tc.want)
		}
	}
	back, err := s.At(old.Revision())
	if err != nil || fmt.Sprint(names(back, "")) != fmt.Sprint(names(old, "")) || back.Revision() != old.Revision() {
		t.Errorf("At(%d): %v %v", old.Revision(), names(back, ""), err)
	}
	if _, err := s.At(s.Snapshot().Revision() + 1); !errors.Is(err, ErrFuture) {
		t.Errorf("At(future): %v", err)
	}
}

func TestPagesOfAnOldRevision(t *testing.T) {
	s, _ := start(t, t.TempDir(), func(c *Config) { c.History = 20 })
	for i := range 9 {
		set(t, s, "default", fmt.Sprintf("m%d", i), "1")
	}
	at := s.Snapshot().Revision()
	var got []string
	after := Key{}
	for page := 0; ; page++ {
		v, err := s.At(at)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for r := range v.ListFrom("configmaps", "default", after) {
			got, after = append(got, r.Key().Name), r.Key()
			if n++; n == 4 {
				break
			}
		}
		if n < 4 {
			break
		}
		remove(t, s, "default", fmt.Sprintf("m%d", 8-page))
		set(t, s, "default", fmt.Sprintf("m%dx", page), "1")
	}
	if want := "[m0 m1 m2 m3 m4 m5 m6 m7 m8]"; fmt.Sprint(got) != want {
		t.Errorf("pages %v, want %s", got, want)
	}
	for range 20 {
		set(t, s, "default", "m0", "again")
	}
	if _, err := s.At(at); !errors.Is(err, ErrExpired) {
		t.Errorf("At after the history has moved on: %v", err)
	}
}

func TestLinearizableWaitsForTheLeaderAndClosedStoreSaysSo(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, dir)
	rev := set(t, s, "default", "a", "1")
	stop()
	if _, err := s.Update(testContext(t), func(*Tx) error { return nil }); err == nil {
		t.Error("a closed store takes writes")
	}
	s, _ = start(t, dir)
	v, err := s.Linearizable(testContext(t))
	if err != nil || v.Revision() != rev {
		t.Errorf("Linearizable after the start: %v, want revision %d", err, rev)
	}
	if !<-s.Leading() || !s.IsLeader() {
		t.Error("not the leader")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Update(ctx, func(tx *Tx) error { tx.Delete(mapKey("default", "a"), rev); return nil }); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestATransactionMayBeTooLarge(t *testing.T) {
	const limit = 4 << 10
	s, _ := start(t, t.TempDir(), func(cfg *Config) { cfg.EntryLimit = limit })
	for size, want := range map[int]error{limit / 2: nil, limit: ErrTooLarge} {
		noise := make([]byte, size) // cannot be compressed
		if _, err := rand.Read(noise); err != nil {
			t.Fatal(err)
		}
		_, err := s.Update(testContext(t), func(tx *Tx) error {
			tx.Set(mapKey("default", "a"), configMap("default", "a", string(noise)))
			return nil
		})
		if !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
	}
}
