package containerd

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/agent"
)

// TestGroupsComeAndGo: containers are started and removed side by side below shims of a few, which so end again and again
// while others begin.
func TestGroupsComeAndGo(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	m.podsPerShim = 3
	r := m.openLoaded(t)
	var workers errgroup.Group
	for i := range 6 {
		workers.Go(func() error {
			for round := range 4 {
				id := fmt.Sprintf("c%d-%d", i, round)
				if err := errors.Join(r.Create(t.Context(), m.spec(id, "sleep")), r.Start(t.Context(), id), r.Remove(t.Context(), id)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		t.Error(err)
	}
}

// TestFullGroupDies kills the shim of as many pods as may share one: all are seen as ended, and start again below others.
func TestFullGroupDies(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	full := r.(*Runtime).cfg.PodsPerShim
	start := func(attempt int) map[int]int {
		var workers errgroup.Group
		for i := range full {
			workers.Go(func() error {
				spec := m.spec(fmt.Sprintf("c%d-%d", i, attempt), "spawn")
				spec.Pod.UID = fmt.Sprint("uid-", i)
				return errors.Join(r.Create(t.Context(), spec), r.Start(t.Context(), spec.ID))
			})
		}
		if err := workers.Wait(); err != nil {
			t.Fatal(err)
		}
		shims := map[int]int{}
		for i := range full {
			shims[shimOf(t, find(t, r, fmt.Sprintf("c%d-%d", i, attempt)).Pid)]++
		}
		return shims
	}
	before := start(0)
	if len(before) != 1 {
		t.Errorf("the shims and their pods are %v, want one for all", before)
	}
	for shim := range before {
		if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for i := range full {
		eventually(t, "all are seen as ended", func() bool { return find(t, r, fmt.Sprintf("c%d-0", i)).State == agent.StateExited })
	}
	for shim := range start(1) {
		if before[shim] > 0 {
			t.Error("the dead shim is still there")
		}
	}
	var workers errgroup.Group
	for i := range full {
		workers.Go(func() error {
			return errors.Join(r.Remove(t.Context(), fmt.Sprintf("c%d-0", i)), r.Remove(t.Context(), fmt.Sprintf("c%d-1", i)))
		})
	}
	if err := workers.Wait(); err != nil {
		t.Error(err)
	}
}
