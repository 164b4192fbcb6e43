package fence

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestMain is the watchdog where a test starts it.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "watchdog" {
		ready := func() { _, _ = os.Stdout.WriteString("ready\n") }
		if err := Watchdog(context.Background(), os.Args[2], ready, slog.New(slog.DiscardHandler)); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// cluster answers a Guard in a test.
type cluster struct {
	pods           []string
	delay          time.Duration
	cut            atomic.Bool
	asked, changed atomic.Int32
}

func (c *cluster) guard(t *testing.T) *Guard {
	t.Helper()
	g, err := New(Config{
		Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Changed: func() { c.changed.Add(1) },
		Confirm: func(context.Context) ([]string, error) {
			c.asked.Add(1)
			time.Sleep(c.delay)
			if c.cut.Load() {
				return nil, errors.New("cut off")
			}
			return c.pods, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	g.now = func() time.Duration { return time.Hour + time.Since(begun) }
	g.spawn = func(string, []string) error { return nil }
	return g
}

func TestALeaseLastsFromTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{pods: []string{"a"}, delay: 3 * time.Second}
		g := c.guard(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		time.Sleep(time.Minute)
		if asked := c.asked.Load(); asked != 0 {
			t.Errorf("asked %d times though no pod is guarded", asked)
		}
		g.Keep("a", "/a")
		g.Keep("b", "/b")
		if g.May("a") {
			t.Error("a pod may run before the cluster said so")
		}
		began := g.now()
		time.Sleep(c.delay + time.Millisecond)
		if !g.May("a") || g.May("b") {
			t.Errorf("a may run: %v, b: %v; the cluster has only a", g.May("a"), g.May("b"))
		}
		l, err := readLease(g.Dir)
		if err != nil || l.Until != began+Time || !maps.Equal(l.Pods, map[string]string{"a": "/a", "b": "/b"}) {
			t.Errorf("the watchdog's lease: %+v, %v", l, err)
		}
		for range 20 {
			time.Sleep(renewEvery)
			if !g.May("a") {
				t.Fatal("the lease ended though the cluster answers")
			}
		}
		c.cut.Store(true)
		asked := g.now() - renewEvery - c.delay
		for g.May("a") {
			time.Sleep(100 * time.Millisecond)
		}
		if lasted := g.now() - asked; lasted > Time+renewEvery+c.delay {
			t.Errorf("the lease lasted %v after the last good question", lasted)
		}
		if l, err := readLease(g.Dir); err != nil || !l.ended(g.now()) {
			t.Errorf("the watchdog's lease: %+v, %v", l, err)
		}
		c.cut.Store(false)
		changed := c.changed.Load()
		time.Sleep(renewEvery + 2*c.delay)
		if !g.May("a") || c.changed.Load() != changed+1 {
			t.Errorf("back: may run %v, told %d times", g.May("a"), c.changed.Load()-changed)
		}
		g.Forget("a")
		g.Forget("b")
		synctest.Wait()
		time.Sleep(2 * c.delay)
		if _, err := os.Stat(leaseFile(g.Dir)); !os.IsNotExist(err) {
			t.Errorf("the lease of no pods is there: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// inCgroup runs a process in a cgroup of the test's own.
func inCgroup(t *testing.T) (cgroup string, process *exec.Cmd) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("cgroups need root")
	}
	parent := root
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		parent = filepath.Join(root, "pids")
	}
	cgroup = "/covey-fence-test-" + strconv.Itoa(os.Getpid())
	dir := filepath.Join(parent, cgroup, "container")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skipf("make a cgroup: %v", err)
	}
	process = exec.Command("sleep", "1000")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_, _ = process.Process.Wait()
		_ = os.Remove(dir)
		_ = os.Remove(filepath.Dir(dir))
	})
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(process.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	return cgroup, process
}

// TestTheWatchdogEndsWhatIsNotRenewed runs a real one.
func TestTheWatchdogEndsWhatIsNotRenewed(t *testing.T) {
	cgroup, process := inCgroup(t)
	dir := t.TempDir()
	pods := map[string]string{"a": cgroup}
	grant := func(until time.Duration) {
		t.Helper()
		if err := (&lease{Until: until, Pods: pods}).write(dir); err != nil {
			t.Fatal(err)
		}
	}
	grant(uptime() + time.Hour)
	command := []string{os.Args[0], "watchdog"}
	for range 2 { // the second finds the first
		if err := ensureWatchdog(dir, command); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = 3 * time.Second, 4 * time.Second
	begun := uptime()
	grant(begun + first)
	if err := wakeWatchdog(dir); err != nil {
		t.Fatal(err)
	}
	grant(begun + second)
	renewed := uptime() - begun
	if _, err := process.Process.Wait(); err != nil {
		t.Fatal(err)
	}
	if ended := uptime() - begun; ended < first || ended < second && renewed < first { // a renewal that came too late renews nothing
		t.Errorf("it was ended after %v, before its time", ended)
	}
	if err := (&lease{}).write(dir); err != nil {
		t.Fatal(err)
	}
	if err := wakeWatchdog(dir); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		held, err := lock(dir)
		if err == nil {
			_ = held.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the watchdog is there though there is nothing to guard: %v", err)
		}
	}
}
