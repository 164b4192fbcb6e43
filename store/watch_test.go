package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// describe writes an event as "+name", "~name" or "-name".
func describe(e Event) string {
	switch {
	case e.Prev == nil:
		return "+" + e.Cur.Key().Name
	case e.Cur == nil:
		return "-" + e.Prev.Key().Name
	}
	return "~" + e.Cur.Key().Name
}

func next(t *testing.T, w *Watcher) (got []string) {
	t.Helper()
	events, err := w.Next(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		got = append(got, describe(e))
	}
	return got
}

func TestWatchSeesEveryEventBehindARevision(t *testing.T) {
	s, _ := start(t, t.TempDir())
	from := set(t, s, "default", "a", "1")
	set(t, s, "default", "a", "2")
	set(t, s, "default", "b", "1")
	gone := remove(t, s, "default", "a")

	w, err := s.Watch(from, "configmaps")
	if err != nil {
		t.Fatal(err)
	}
	events, err := w.Next(testContext(t))
	if err != nil || len(events) != 3 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	last := events[2]
	if describe(events[0])+describe(events[1])+describe(last) != "~a+b-a" {
		t.Errorf("got %v", events)
	}
	if last.Revision != gone || last.Prev.Object().(*corev1.ConfigMap).Data["v"] != "2" || w.Revision() != gone {
		t.Errorf("deletion at %d with %v, watcher at %d; want %d", last.Revision, last.Prev.Object(), w.Revision(), gone)
	}

	// A batch is several events at one revision; another resource is passed over, but the watcher's revision moves on.
	both, err := s.Update(testContext(t), func(tx *Tx) error {
		tx.Create(mapKey("default", "c"), configMap("default", "c", "1"))
		tx.Create(Key{Resource: "secrets", Namespace: "default", Name: "s"},
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(next(t, w)); got != "[+c]" || w.Revision() != both {
		t.Errorf("got %s at %d, want [+c] at %d", got, w.Revision(), both)
	}
	all, err := s.Watch(from)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(next(t, all)); got != "[~a +b -a +c +s]" {
		t.Errorf("all resources: %s", got)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := all.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a cancelled context: %v", err)
	}
}

func TestWatchLimits(t *testing.T) {
	dir := t.TempDir()
	small := func(c *Config) { c.History = 3 }
	s, stop := start(t, dir, small)
	first := set(t, s, "default", "a", "1")
	slow, err := s.Watch(first)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		set(t, s, "default", "a", "2")
	}
	if _, err := slow.Next(testContext(t)); !errors.Is(err, ErrExpired) {
		t.Errorf("a watcher that fell behind: %v", err)
	}
	if _, err := s.Watch(first); !errors.Is(err, ErrExpired) {
		t.Errorf("a watch from behind the history: %v", err)
	}
	last := s.Snapshot().Revision()
	if _, err := s.Watch(last + 1); !errors.Is(err, ErrFuture) {
		t.Errorf("a watch from the future: %v", err)
	}
	stop()

	s, _ = start(t, dir, small)
	if _, err := s.Linearizable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Watch(last - 1); !errors.Is(err, ErrExpired) {
		t.Errorf("after a restart, from before it: %v", err)
	}
	w, err := s.Watch(last)
	if err != nil {
		t.Fatal(err)
	}
	set(t, s, "default", "b", "1")
	if got := fmt.Sprint(next(t, w)); got != "[+b]" {
		t.Errorf("after a restart: %s", got)
	}
}

func TestManyWatchersSeeTheSame(t *testing.T) {
	s, _ := start(t, t.TempDir())
	from := set(t, s, "default", "start", "1")
	const watchers, writes = 200, 30
	var wg sync.WaitGroup
	for range watchers {
		w, err := s.Watch(from, "configmaps")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			revision := from
			for seen := 0; seen < writes; {
				events, err := w.Next(testContext(t))
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					if e.Revision <= revision {
						t.Errorf("revision %d after %d", e.Revision, revision)
					}
					if want := fmt.Sprintf("m%d", seen); e.Cur.Key().Name != want {
						t.Errorf("event %s, want %s", e.Cur.Key().Name, want)
					}
					revision = e.Revision
					seen++
				}
			}
		})
	}
	for i := range writes {
		set(t, s, "default", fmt.Sprintf("m%d", i), "1")
	}
	wg.Wait()
}

func TestHistoryIsBoundedInBytes(t *testing.T) {
	h := newHistory(1000)
	raw := make([]byte, historyBytes/4)
	for i := range 20 {
		h.append([]Event{{Revision: uint64(i + 1), Cur: &Record{raw: raw, revision: uint64(i + 1)}}})
	}
	if h.bytes > historyBytes || len(h.events) != 3 || h.floor != 17 {
		t.Errorf("%d bytes in %d events above %d", h.bytes, len(h.events), h.floor)
	}
}
