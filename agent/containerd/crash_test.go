package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/cgroup"
	"covey.dev/covey/agent/runtimetest/imagetest"
)

// TestMain lets the test's program stand for covey, to be killed: with the variable set it runs the runtime on that folder
// and starts the containers named by helperContainers.
func TestMain(m *testing.M) {
	if dir := os.Getenv("COVEY_TEST_RUNTIME"); dir != "" {
		if err := helper(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv("COVEY_TEST_CONTAINERD"); dir != "" {
		if err := serveContainerd(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// helper is a covey that starts a ticking container and a talkative one, or just makes them, says so, and waits to be killed.
func helper(dir string) error {
	m := &testMachine{dir: dir, cgroup: "/" + filepath.Base(dir) + "/pod"}
	r, err := Open(context.Background(), m.config(nil))
	if err != nil {
		return err
	}
	go func() { _ = r.Run(context.Background()) }()
	archive, err := os.ReadFile(filepath.Join(dir, "image.tar"))
	if err != nil {
		return err
	}
	if _, err := r.Load(context.Background(), bytes.NewReader(archive)); err != nil {
		return err
	}
	for _, spec := range []*agent.ContainerSpec{m.spec("tick", "tick"), m.spec("later", "burst")} {
		if err := r.Create(context.Background(), spec); err != nil {
			return err
		}
		if os.Getenv("COVEY_TEST_ONLY_MAKE") != "" {
			continue
		}
		if err := r.Start(context.Background(), spec.ID); err != nil {
			return err
		}
	}
	fmt.Println("started")
	select {}
}

// spec is a container that logs to ID.log in the machine's folder.
func (m *testMachine) spec(id string, command ...string) *agent.ContainerSpec {
	return &agent.ContainerSpec{
		ID: id, Name: id, Image: testImage, Command: command, CgroupParent: m.cgroup, SpecHash: "hash",
		Pod:      agent.PodRef{Namespace: "default", Name: "pod-" + id, UID: "uid-" + id},
		Security: &corev1.SecurityContext{}, LogPath: filepath.Join(m.dir, id+".log"),
	}
}

func find(t *testing.T, r agent.Runtime, id string) agent.Container {
	t.Helper()
	list, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("container %s is not in the list", id)
	return agent.Container{}
}

func remove(t *testing.T, r agent.Runtime, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := r.Remove(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// lines reads what a container printed.
func lines(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(content)) {
		_, text, _ := strings.Cut(line, " F ")
		all = append(all, strings.TrimSuffix(text, "\n"))
	}
	return all
}

// endsWith looks at the end of a file alone, which may be long.
func endsWith(path, text string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	end := make([]byte, len(text))
	if _, err := file.Seek(-int64(len(end)), io.SeekEnd); err != nil {
		return false
	}
	_, err = io.ReadFull(file, end)
	return err == nil && string(end) == text
}

func checkCounted(t *testing.T, all []string) {
	t.Helper()
	for i, line := range all {
		if line != strconv.Itoa(i) {
			t.Fatalf("line %d of the log is %q: output was lost or doubled", i, line)
		}
	}
}

// runKilled has a covey in a process of its own that starts the two containers and is killed.
func (m *testMachine) runKilled(t *testing.T, env ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, "image.tar"), imagetest.Archive(t, testImage), 0o600); err != nil {
		t.Fatal(err)
	}
	covey := exec.Command("/proc/self/exe")
	covey.Env = append(append(os.Environ(), "COVEY_TEST_RUNTIME="+m.dir), env...)
	var stderr bytes.Buffer
	covey.Stderr = &stderr
	stdout, err := covey.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := covey.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 16)); err != nil {
		_ = covey.Wait()
		t.Fatalf("the helper did not start: %v\n%s", err, stderr.Bytes())
	}
	if err := covey.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = covey.Wait() // killed
}

// TestKilled kills covey with SIGKILL while one container prints slowly, and another one prints 600 KB and ends with
// nobody there.
func TestKilled(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	m.runKilled(t)
	tick, later := filepath.Join(m.dir, "tick.log"), filepath.Join(m.dir, "later.log")
	eventually(t, "the talkative one has finished", func() bool { return endsWith(later, " F 99999\n") })
	seen := len(lines(t, tick))
	eventually(t, "the other one ticks on", func() bool { return len(lines(t, tick)) > seen+5 })
	r := m.open(t)
	defer remove(t, r, "tick", "later")
	if c := find(t, r, "tick"); c.State != agent.StateRunning || c.Pid == 0 || c.StartedAt.IsZero() {
		t.Errorf("the one that runs: %+v", c)
	}
	if c := find(t, r, "later"); c.State != agent.StateExited || c.ExitCode != 3 || c.FinishedAt.Before(c.StartedAt) {
		t.Errorf("the one that ended: %+v", c)
	}
	if err := r.Signal(t.Context(), "tick", syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its exit is known", func() bool { return find(t, r, "tick").State == agent.StateExited })
	if c := find(t, r, "tick"); c.ExitCode != 143 {
		t.Errorf("it ended with %+v", c)
	}
	checkCounted(t, lines(t, tick))
	checkCounted(t, lines(t, later))
}

// TestShimKilled kills the shim of two containers: they are then seen as ended and can be removed.
func TestShimKilled(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	for _, id := range []string{"one", "two"} {
		if err := errors.Join(r.Create(t.Context(), m.spec(id, "spawn")), r.Start(t.Context(), id)); err != nil {
			t.Fatal(err)
		}
		defer remove(t, r, id)
	}
	shim := shimOf(t, find(t, r, "one").Pid)
	if other := shimOf(t, find(t, r, "two").Pid); other != shim {
		t.Errorf("the containers have the shims %d and %d, want one", shim, other)
	}
	if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two"} {
		eventually(t, id+" is seen as ended", func() bool { return find(t, r, id).State == agent.StateExited })
		if c := find(t, r, id); c.ExitCode == 0 {
			t.Errorf("%s: %+v", id, c)
		}
	}
	// New ones go below a new shim.
	if err := errors.Join(r.Create(t.Context(), m.spec("three", "sleep")), r.Start(t.Context(), "three")); err != nil {
		t.Error(err)
	}
	remove(t, r, "three")
}

// TestTheClockIsSetBack has a container end hours before it was made: its end is seen all the same.
func TestTheClockIsSetBack(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	defer remove(t, r, "tick")
	if err := errors.Join(r.Create(t.Context(), m.spec("tick", "tick")), r.Start(t.Context(), "tick")); err != nil {
		t.Fatal(err)
	}
	// Until it is ready to be told to end, it is not: it is the first process of its namespace.
	eventually(t, "it ticks", func() bool { return len(lines(t, filepath.Join(m.dir, "tick.log"))) > 0 })
	all := r.(*Runtime)
	all.mu.Lock()
	all.records["tick"].CreatedAt = time.Now().Add(3 * time.Hour)
	all.records["tick"].StartedAt = time.Now().Add(3 * time.Hour)
	all.mu.Unlock()
	if err := r.Signal(t.Context(), "tick", syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its exit is known", func() bool { return find(t, r, "tick").State == agent.StateExited })
}

// shimOf is the parent of a container's first process.
func shimOf(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	parent, err := strconv.Atoi(strings.Fields(rest)[1])
	if err != nil {
		t.Fatal(err)
	}
	return parent
}

// TestReboot has everything in the state folder and every process gone, as after a reboot.
func TestReboot(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	for id, command := range map[string]string{"running": "sleep", "ended": "exit", "created": "sleep"} {
		if err := r.Create(t.Context(), m.spec(id, command, "4")); err != nil {
			t.Fatal(err)
		}
		if id != "created" {
			if err := r.Start(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "one has ended", func() bool { return find(t, r, "ended").State == agent.StateExited })
	shim := shimOf(t, find(t, r, "running").Pid)
	m.close(t)
	if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"running", "ended"} {
		if err := cgroup.Remove(t.Context(), m.cgroup+"/"+id); err != nil {
			t.Error(err)
		}
		rootfs := filepath.Join(m.dir, "s", "io.containerd.runtime.v2.task", Namespace, id, "rootfs")
		if err := syscall.Unmount(rootfs, 0); err != nil {
			t.Error(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(m.dir, "s")); err != nil {
		t.Fatal(err)
	}
	m.bootID = "another"
	r = m.open(t)
	defer remove(t, r, "running", "ended", "created")
	for id, code := range map[string]int32{"running": 255, "ended": 4, "created": 255} {
		if c := find(t, r, id); c.State != agent.StateExited || c.ExitCode != code || c.StartedAt.IsZero() || c.FinishedAt.IsZero() {
			t.Errorf("%s: %+v, want exit code %d", id, c, code)
		}
	}
}
