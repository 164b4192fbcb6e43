package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"covey.dev/covey/e2e/harness"
)

// stream is a watch on one node, which comes back to where it was after each end, as clients do.
type stream struct {
	node    *harness.Node
	clients kubernetes.Interface

	mu       sync.Mutex
	events   []seen
	revision uint64
	jumps    [][2]uint64 // from one revision to another, without the events between: the watch had expired
}

// seen is an event: a key's value after it, "" when it was deleted.
type seen struct {
	revision   uint64
	key, value string
}

func revisionOf(m *corev1.ConfigMap) uint64 {
	revision, _ := strconv.ParseUint(m.ResourceVersion, 10, 64)
	return revision
}

// list begins the stream, or goes on with it after the watch has expired.
func (s *stream) list(ctx context.Context) {
	list, err := s.clients.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return
	}
	revision, _ := strconv.ParseUint(list.ResourceVersion, 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revision > 0 {
		s.jumps = append(s.jumps, [2]uint64{s.revision, revision})
	}
	s.revision = revision
}

func (s *stream) follow(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, 200*time.Millisecond) {
		w, err := s.clients.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{
			LabelSelector: "test=" + written, ResourceVersion: strconv.FormatUint(s.reached(), 10), AllowWatchBookmarks: true,
		})
		if err != nil {
			continue
		}
		for e := range w.ResultChan() {
			if e.Type == watch.Error && apierrors.IsResourceExpired(apierrors.FromObject(e.Object)) {
				s.list(ctx)
				break
			}
			s.add(e)
		}
		w.Stop()
	}
}

func (s *stream) add(e watch.Event) {
	m, ok := e.Object.(*corev1.ConfigMap)
	if !ok {
		return // it ended otherwise
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision = revisionOf(m)
	switch e.Type {
	case watch.Added, watch.Modified:
		s.events = append(s.events, seen{s.revision, m.Name, valueOf(m)})
	case watch.Deleted:
		s.events = append(s.events, seen{s.revision, m.Name, ""})
	}
}

func (s *stream) reached() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// saw reports whether the stream has brought anything of a key.
func (s *stream) saw(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.events, func(e seen) bool { return e.key == key })
}

// await writes something and waits for it, which is behind all that there was.
func (s *stream) await(t *testing.T, last uint64) {
	t.Helper()
	if s.reached() >= last {
		return
	}
	s.node.Eventually(func() error {
		mark := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "mark-", Labels: map[string]string{"test": written}}}
		_, err := s.node.Clients.CoreV1().ConfigMaps("default").Create(context.Background(), mark, metav1.CreateOptions{})
		return err
	})
	s.node.Eventually(func() error {
		if at := s.reached(); at < last {
			return fmt.Errorf("the watch is at revision %d, want %d", at, last)
		}
		return nil
	})
}

func jumps(streams []*stream) int {
	n := 0
	for _, s := range streams {
		s.mu.Lock()
		n += len(s.jumps)
		s.mu.Unlock()
	}
	return n
}

// checkStreams compares the streams with each other, with what was acknowledged and with what lists said, and forgets the events.
func checkStreams(t *testing.T, streams []*stream, h *history) {
	t.Helper()
	all := map[uint64]seen{}
	for _, s := range streams {
		s.mu.Lock()
		defer s.mu.Unlock()
		name := s.node.Name()
		for i, e := range s.events {
			if i > 0 && s.events[i-1].revision >= e.revision {
				t.Errorf("%s: %+v comes after %+v", name, e, s.events[i-1])
			}
			if other, ok := all[e.revision]; ok && other != e {
				t.Errorf("%s brought %+v, another node %+v", name, e, other)
			}
			all[e.revision] = e
		}
	}
	for revision, value := range h.acknowledged {
		if e, ok := all[revision]; !ok || e.value != value {
			t.Errorf("%q was acknowledged at revision %d, watches brought %+v", value, revision, e)
		}
	}
	ordered := slices.SortedFunc(maps.Values(all), func(a, b seen) int { return cmp.Compare(a.revision, b.revision) })
	h.checkLists(ordered)
	common := streams[0].revision
	for _, s := range streams {
		common = min(common, s.revision)
	}
	for _, s := range streams {
		s.checkGaps(t, ordered, common)
		s.events = slices.DeleteFunc(s.events, func(e seen) bool { return e.revision <= common })
	}
}

// checkGaps wants every event up to a revision that all streams have reached.
func (s *stream) checkGaps(t *testing.T, all []seen, common uint64) {
	have := map[uint64]bool{}
	for _, e := range s.events {
		have[e.revision] = true
	}
	for _, e := range all {
		jumped := slices.ContainsFunc(s.jumps, func(j [2]uint64) bool { return j[0] < e.revision && e.revision <= j[1] })
		if e.revision <= common && !have[e.revision] && !jumped {
			t.Errorf("the watch on %s did not bring %+v", s.node.Name(), e)
		}
	}
}

// checkLists has each list of the round's keys be what the events up to its revision make.
func (h *history) checkLists(events []seen) {
	lists := slices.SortedFunc(slices.Values(h.lists), func(a, b listed) int { return cmp.Compare(a.revision, b.revision) })
	values := map[string]string{}
	for _, l := range lists {
		for len(events) > 0 && events[0].revision <= l.revision {
			values[events[0].key] = events[0].value
			events = events[1:]
		}
		for i := range keys {
			if key := h.key(i); l.values[key] != values[key] {
				h.Errorf("a list at revision %d has %q for %s, watches brought %q", l.revision, l.values[key], key, values[key])
			}
		}
	}
}
