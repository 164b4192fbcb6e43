package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/timeout"

	"covey.dev/covey/agent"
)

// shortCleanup has containerd give up soon what it does with the same runc after a step has failed.
func shortCleanup(t *testing.T) {
	t.Helper()
	const key = "io.containerd.timeout.shim.cleanup"
	before := timeout.Get(key)
	timeout.Set(key, time.Second)
	t.Cleanup(func() { timeout.Set(key, before) })
}

// hangRunc has a program that sleeps in the place of runc until the function that it returns is called.
func (m *testMachine) hangRunc(t *testing.T) (work func()) {
	t.Helper()
	return m.replaceRunc(t, m.hang())
}

// hang is for a script what awaitHang waits for.
func (m *testMachine) hang() string { return ": >" + m.hangs() + "; exec sleep 100000" }

func (m *testMachine) hangs() string { return filepath.Join(m.dir, "hangs") }

func (m *testMachine) awaitHang(t *testing.T) {
	t.Helper()
	eventually(t, "runc hangs", func() bool {
		_, err := os.Stat(m.hangs())
		return err == nil
	})
}

// replaceRunc has a script in its place, which calls it $0.works.
func (m *testMachine) replaceRunc(t *testing.T, script string) (work func()) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(m.dir, "bin", "*", "runc"))
	if err != nil || len(found) != 1 {
		t.Fatalf("runc: %v %v", found, err)
	}
	runc := found[0]
	err = errors.Join(os.Rename(runc, runc+".works"), os.WriteFile(runc, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(runc+".works", runc); err != nil {
			t.Fatal(err)
		}
	}
}

// stepsEnd has steps fail after another time than a minute, which a busy machine may need for one that does not hang.
func stepsEnd(r agent.Runtime, after time.Duration) {
	all := r.(*Runtime)
	all.mu.Lock()
	defer all.mu.Unlock()
	all.cfg.StepTimeout = after
}

// TestRuncHangs has steps of a container's life hang: each fails and says so, what runs goes on and can be ended, and all is as before when
// runc works again.
func TestRuncHangs(t *testing.T) {
	needRoot(t)
	shortCleanup(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	for _, id := range []string{"tick", "ended"} {
		if err := errors.Join(r.Create(t.Context(), m.spec(id, "tick")), r.Start(t.Context(), id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"hangs", "removed"} {
		if err := r.Create(t.Context(), m.spec(id, "tick")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it ticks", func() bool { return len(lines(t, filepath.Join(m.dir, "ended.log"))) > 0 })
	work := m.hangRunc(t)
	stepsEnd(r, 10*time.Second) // what works is to be over by then, also on a busy machine
	says := func(what string, err error, parts ...string) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want it to tell of %q", what, err, part)
			}
		}
	}
	says("start", r.Start(t.Context(), "hangs"), "runc create", "hangs", "10s")
	_, err := r.Exec(t.Context(), "tick", &agent.ExecSpec{Command: []string{"/program", "exit", "0"}})
	says("exec", err, "runc exec", "hangs")
	// Without runc's help.
	if err := r.Signal(t.Context(), "ended", syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	eventually(t, "the signalled one has ended", func() bool { return find(t, r, "ended").State == agent.StateExited })
	if err := r.Remove(t.Context(), "removed"); err != nil {
		t.Errorf("remove one that was never started: %v", err)
	}
	says("remove", r.Remove(t.Context(), "ended"), "runc delete", "hangs")
	seen := len(lines(t, filepath.Join(m.dir, "tick.log")))
	eventually(t, "the other one ticks on", func() bool { return len(lines(t, filepath.Join(m.dir, "tick.log"))) > seen })
	if c := find(t, r, "tick"); c.State != agent.StateRunning {
		t.Errorf("the other one: %+v", c)
	}

	work()
	stepsEnd(r, time.Minute)
	remove(t, r, "ended", "hangs")
	next := m.spec("next", "tick")
	next.Pod = m.spec("hangs").Pod
	if err := errors.Join(r.Create(t.Context(), next), r.Start(t.Context(), "next")); err != nil {
		t.Error(err)
	}
	remove(t, r, "next", "tick")
}

// TestRuncHangsWithOneContainer has another pod's container, which was to share a shim with it, start meanwhile.
func TestRuncHangsWithOneContainer(t *testing.T) {
	needRoot(t)
	shortCleanup(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	for _, id := range []string{"first", "stuck", "other"} {
		if err := r.Create(t.Context(), m.spec(id, "tick")); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Start(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	work := m.replaceRunc(t, `case "$*" in *stuck*) `+m.hang()+`;; esac; exec "$0.works" "$@"`)
	stepsEnd(r, 20*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- r.Start(t.Context(), "stuck") }()
	m.awaitHang(t)
	if err := r.Start(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		t.Errorf("the other one had to wait until it was given up: %v", err)
	default:
	}
	if err := <-ended; !errors.Is(err, errHung) {
		t.Errorf("the one that hangs: %v", err)
	}
	work()
	stepsEnd(r, time.Minute)
	remove(t, r, "first", "stuck", "other")
}

// stopShim has the shim of a running container stand still until the function that it returns is called, at the latest at the test's end.
func stopShim(t *testing.T, pid int) (goOn func()) {
	t.Helper()
	shim := shimOf(t, pid)
	if err := syscall.Kill(shim, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn = func() { _ = syscall.Kill(shim, syscall.SIGCONT) } // it may have ended by then
	t.Cleanup(goOn)
	return goOn
}

// runsOne is a machine on which the container "one" runs, and its process.
func runsOne(t *testing.T) (m *testMachine, r agent.Runtime, pid int) {
	t.Helper()
	needRoot(t)
	m = newMachine(t)
	r = m.openLoaded(t)
	if err := errors.Join(r.Create(t.Context(), m.spec("one", "sleep")), r.Start(t.Context(), "one")); err != nil {
		t.Fatal(err)
	}
	return m, r, find(t, r, "one").Pid
}

// TestTheShimHangs has a container killed without it, and removed when the shim works again.
func TestTheShimHangs(t *testing.T) {
	_, r, pid := runsOne(t)
	goOn := stopShim(t, pid)
	stepsEnd(r, time.Second)
	if err := r.Remove(t.Context(), "one"); !errors.Is(err, errHung) {
		t.Errorf("remove: %v", err)
	}
	if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
		t.Errorf("%s goes on", program)
	}
	goOn()
	stepsEnd(r, time.Minute)
	remove(t, r, "one")
}

// TestTheShimAnswersLate has covey start where a shim stands still for longer than containerd gives it.
func TestTheShimAnswersLate(t *testing.T) {
	m, _, pid := runsOne(t)
	m.close(t)
	time.AfterFunc(7*time.Second, stopShim(t, pid))
	r := m.open(t)
	if c := find(t, r, "one"); c.State != agent.StateRunning || c.Pid != pid {
		t.Errorf("its container: %+v, want process %d", c, pid)
	}
	remove(t, r, "one")
}

// TestCoveyEndsWhileRuncHangs ends covey with steps under way; the next one takes up what there is.
func TestCoveyEndsWhileRuncHangs(t *testing.T) {
	needRoot(t)
	shortCleanup(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	if err := errors.Join(r.Create(t.Context(), m.spec("one", "tick")), r.Create(t.Context(), m.spec("two", "tick"))); err != nil {
		t.Fatal(err)
	}
	work := m.hangRunc(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for _, id := range []string{"one", "two"} {
		go func() { ended <- r.Start(ctx, id) }()
	}
	m.awaitHang(t)
	cancel()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("it was started")
		}
	}
	m.close(t)
	work()
	r = m.open(t)
	remove(t, r, "one", "two")
	if err := errors.Join(r.Create(t.Context(), m.spec("one", "tick")), r.Start(t.Context(), "one")); err != nil {
		t.Error(err)
	}
	remove(t, r, "one")
}
