package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/cgroup"
	"covey.dev/covey/agent/runtimetest"
	"covey.dev/covey/agent/runtimetest/imagetest"
)

const testImage = "docker.io/library/covey-test:1"

func TestConformance(t *testing.T) {
	needRoot(t)
	archive := imagetest.Archive(t, testImage)
	runtimetest.Run(t, func(t *testing.T) runtimetest.Harness {
		m := newMachine(t)
		return runtimetest.Harness{
			Runtime: m.open(t), Archive: archive, Image: testImage, Reopen: m.reopen,
			CgroupParent: m.cgroup, CountsMemory: countsMemory(),
		}
	})
}

// TestConformanceOnTheMachinesContainerd has the same of a containerd that another process runs.
func TestConformanceOnTheMachinesContainerd(t *testing.T) {
	needRoot(t)
	archive := imagetest.Archive(t, testImage)
	eachContainerd(t, func(t *testing.T, serve func(*testing.T, *testMachine)) {
		runtimetest.Run(t, func(t *testing.T) runtimetest.Harness {
			m := newMachine(t)
			serve(t, m)
			return runtimetest.Harness{
				Runtime: m.open(t), Archive: archive, Image: testImage, Reopen: m.reopen,
				CgroupParent: m.cgroup, CountsMemory: countsMemory(),
			}
		})
	})
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root")
	}
	if _, err := unpackPrograms(t.TempDir()); errors.Is(err, ErrNoRuntime) {
		t.Fatal(err)
	}
}

func countsMemory() bool {
	_, err := os.Stat(filepath.Join(cgroup.Root, "memory"))
	return err == nil || cgroup.Unified()
}

// testMachine is a data and a state folder with a containerd on them.
type testMachine struct {
	dir, cgroup string
	bootID      string // "": the real one
	hostDir     string
	pullTimeout time.Duration
	podsPerShim int
	diskSpace   func(string) (free, total uint64, err error)
	stop        func(testing.TB)
	daemon      *daemon // the machine's own containerd; nil: there is none
}

// newMachine makes the folders, and checks at the end that nothing is left.
func newMachine(t testing.TB) *testMachine {
	t.Helper()
	dir, err := os.MkdirTemp("", "covey-rt-") // not t.TempDir: sockets' paths must be short
	if err != nil {
		t.Fatal(err)
	}
	m := &testMachine{dir: dir, cgroup: "/" + filepath.Base(dir) + "/pod"}
	t.Cleanup(func() {
		m.close(t)
		m.daemon.stop(t)
		m.checkClean(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return m
}

// config is without a log when t is nil.
func (m *testMachine) config(t testing.TB) Config {
	logger := slog.New(slog.DiscardHandler)
	if t != nil {
		logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	state := filepath.Join(m.dir, "s")
	containerd := ""
	if m.daemon != nil {
		containerd = m.daemon.address
	}
	return Config{
		Containerd: containerd,
		Root:       filepath.Join(m.dir, "root"), State: state, Bin: filepath.Join(m.dir, "bin"),
		Address: filepath.Join(state, "containerd.sock"),
		Logger:  logger,
		HostDir: m.hostDir, PullTimeout: m.pullTimeout, PodsPerShim: m.podsPerShim,
		bootID: m.bootID, diskSpace: m.diskSpace,
	}
}

func (m *testMachine) open(t testing.TB) agent.Runtime {
	t.Helper()
	r, err := Open(t.Context(), m.config(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	m.stop = func(t testing.TB) {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return r
}

// openLoaded opens a runtime that has the test image.
func (m *testMachine) openLoaded(t testing.TB) agent.Runtime {
	t.Helper()
	r := m.open(t)
	if _, err := r.Load(t.Context(), bytes.NewReader(imagetest.Archive(t, testImage))); err != nil {
		t.Fatal(err)
	}
	return r
}

func (m *testMachine) close(t testing.TB) {
	if m.stop != nil {
		m.stop(t)
		m.stop = nil
	}
}

func (m *testMachine) reopen(t *testing.T) agent.Runtime {
	m.close(t)
	return m.open(t)
}

// checkClean fails the test when a process, mount or cgroup of the machine is left, after giving shims a moment to end.
func (m *testMachine) checkClean(t testing.TB) {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		left := m.left(t)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left over: %s", strings.Join(left, "\n"))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (m *testMachine) left(t testing.TB) (left []string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, m.dir) {
			left = append(left, "mount "+line)
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		if command, err := os.ReadFile(file); err == nil && strings.Contains(string(command), m.dir) {
			left = append(left, fmt.Sprintf("process %s: %q", file, command))
		}
	}
	for _, dir := range cgroup.Dirs(m.cgroup) {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // where no container was made
			t.Fatal(err)
		}
		for _, entry := range entries {
			if entry.IsDir() {
				left = append(left, "cgroup "+filepath.Join(dir, entry.Name()))
			}
		}
	}
	if len(left) == 0 {
		for _, path := range []string{m.cgroup, filepath.Dir(m.cgroup)} {
			for _, dir := range cgroup.Dirs(path) {
				if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Error(err)
				}
			}
		}
	}
	return left
}

// TestWhatIsForgottenIsTheContainerThatWasMeant has one be forgotten when its ID was taken again: who hears late of its deletion does that.
func TestWhatIsForgottenIsTheContainerThatWasMeant(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	create := func() {
		if err := r.Create(t.Context(), m.spec("one", "sleep")); err != nil {
			t.Fatal(err)
		}
	}
	create()
	first, _ := r.(*Runtime).lookup("one")
	remove(t, r, "one")
	create()
	if err := r.Start(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	r.(*Runtime).forget(&first)
	if c := find(t, r, "one"); c.State != agent.StateRunning {
		t.Errorf("the second container of the ID: %+v", c)
	}
	if _, code := run(t, r, "one", "id"); code != 0 {
		t.Errorf("a command in it ends with %d", code)
	}
	remove(t, r, "one")
}
