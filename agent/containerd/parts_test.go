package containerd

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/runtimetest/imagetest"
	"covey.dev/covey/agent/runtimetest/registrytest"
)

// TestPartsAreKeptForADay cuts a pull off, and looks where the next one goes on after a while without any.
func TestPartsAreKeptForADay(t *testing.T) {
	needRoot(t)
	for what, test := range map[string]struct {
		idle    time.Duration
		restart bool // just before they would have been dropped
		want    bool // it goes on where it was
	}{
		"less than a day":        {idle: partsKept - time.Minute, want: true},
		"a day":                  {idle: partsKept, want: false},
		"a day with a new start": {idle: partsKept - time.Minute, restart: true, want: true},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t)
			r := m.open(t).(*Runtime)
			line := &faulty{cut: 200_000}
			line.registry = registrytest.New(t, registrytest.Options{Intercept: line.intercept})
			line.registry.Push(t, "app:1", imagetest.Archive(t, "x"))
			ref := line.registry.Host + "/app:1"
			if _, err := r.Pull(t.Context(), agent.PullRequest{Ref: ref}); err == nil {
				t.Fatal("the pull was not cut off")
			}
			pass(t, r, test.idle)
			if test.restart {
				r = m.reopen(t).(*Runtime)
				pass(t, r, test.idle)
			}
			line.mend()
			if _, err := r.Pull(t.Context(), agent.PullRequest{Ref: ref}); err != nil {
				t.Fatal(err)
			}
			if went := slices.Contains(line.ranges, "bytes=200000-"); went != test.want {
				t.Errorf("the ranges %q were asked for, goes on %t, want %t", line.ranges, went, test.want)
			}
		})
	}
}

// pass has time go by without the clock of containerd, whose own idea of what is over is looked for.
func pass(t *testing.T, r *Runtime, by time.Duration) {
	t.Helper()
	held, err := r.client.LeasesService().List(r.in(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	for _, lease := range held {
		if end := lease.Labels["containerd.io/gc.expire"]; end != "" {
			t.Errorf("the parts end by the clock, at %s: it may be set", end)
		}
	}
	r.parts.mu.Lock()
	now := r.parts.now
	r.parts.now = func() time.Time { return now().Add(by) }
	r.parts.mu.Unlock()
	if err := errors.Join(r.dropOldParts(r.in(t.Context())), r.collectGarbage(r.in(t.Context()))); err != nil {
		t.Fatal(err)
	}
}

// TestPartsOfAPullUnderWay has days go by while an image is pulled, which no other pull of it ends before it has come to its end.
func TestPartsOfAPullUnderWay(t *testing.T) {
	service := &leaseService{held: map[string]bool{}}
	p, now := newPartLeases(), time.Now()
	p.now = func() time.Time { return now }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, long time.Duration, want bool) {
		t.Helper()
		_, err := p.dropIdle(t.Context(), service, long)
		must(err)
		if service.has("covey-pull-a") != want {
			t.Errorf("%s: kept %t, want %t", what, !want, want)
		}
	}
	must(p.hold(t.Context(), service, "covey-pull-a"))
	must(p.hold(t.Context(), service, "covey-pull-a"))
	must(p.release(t.Context(), service, "covey-pull-a", true))
	now = now.Add(3 * partsKept)
	check("while one pulls", 0, true)
	must(p.release(t.Context(), service, "covey-pull-a", false))
	check("just after it failed", partsKept, true)
	now = now.Add(partsKept - 1)
	must(p.hold(t.Context(), service, "covey-pull-a"))
	must(p.release(t.Context(), service, "covey-pull-a", false))
	now = now.Add(partsKept - 1)
	check("not a day after the last try", partsKept, true)
	now = now.Add(1)
	check("a day after the last try", partsKept, false)
	if len(p.uses) > 0 {
		t.Errorf("what was dropped is remembered: %v", p.uses)
	}
}

// TestPullsAtOnce has pulls of an image begin while others end, and while the disk is short.
func TestPullsAtOnce(t *testing.T) {
	p := newPartLeases()
	service := &leaseService{held: map[string]bool{"covey-of-others": true}, during: func() {
		if p.mu.TryLock() {
			p.mu.Unlock()
			t.Error("another pull could begin or end while a lease is made or dropped")
		}
	}}
	var pulls sync.WaitGroup
	for range 4 {
		pulls.Go(func() {
			for range 100 {
				err := p.hold(t.Context(), service, "covey-pull-a")
				runtime.Gosched()
				if !service.has("covey-pull-a") {
					t.Error("the parts of an image are dropped while it is pulled")
				}
				_, dropErr := p.dropIdle(t.Context(), service, 0)
				if err := errors.Join(err, dropErr, p.release(t.Context(), service, "covey-pull-a", true)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	pulls.Wait()
	if service.has("covey-pull-a") || !service.has("covey-of-others") {
		t.Errorf("at the end there are %v", service.held)
	}
}

// leaseService has leases in memory.
type leaseService struct {
	leases.Manager
	mu   sync.Mutex
	held map[string]bool

	during func() // nil, or called while it makes or deletes one
}

func (s *leaseService) work() {
	if s.during != nil {
		s.during()
	}
}

func (s *leaseService) has(lease string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[lease]
}

func (s *leaseService) Create(_ context.Context, opts ...leases.Opt) (lease leases.Lease, err error) {
	for _, opt := range opts {
		err = errors.Join(err, opt(&lease))
	}
	s.work()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[lease.ID] {
		return lease, fmt.Errorf("lease %s: %w", lease.ID, errdefs.ErrAlreadyExists)
	}
	s.held[lease.ID] = true
	return lease, err
}

func (s *leaseService) Delete(_ context.Context, lease leases.Lease, _ ...leases.DeleteOpt) error {
	s.work()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.held[lease.ID] {
		return fmt.Errorf("lease %s: %w", lease.ID, errdefs.ErrNotFound)
	}
	delete(s.held, lease.ID)
	return nil
}

func (s *leaseService) List(context.Context, ...string) (list []leases.Lease, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.held {
		list = append(list, leases.Lease{ID: id})
	}
	return list, nil
}
