package runtimetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"covey.dev/covey/agent"
)

func testLife(t *testing.T, m *machine) {
	before := time.Now().Add(-time.Second)
	spec := m.spec("tick")
	id := m.create(spec)
	c, _ := m.get(id)
	if c.State != agent.StateCreated || !c.StartedAt.IsZero() || c.CreatedAt.Before(before) || c.ImageID == "" {
		t.Errorf("after Create: %+v", c)
	}
	if c.Pod != spec.Pod || c.Name != "main" || c.Attempt != 3 || c.SpecHash != "hash" || c.Image != m.Image || c.LogPath != spec.LogPath {
		t.Errorf("the spec's fields came back as %+v", c)
	}
	if err := m.Runtime.Create(t.Context(), spec); !errors.Is(err, agent.ErrExists) {
		t.Errorf("Create with a taken ID: %v", err)
	}
	if err := m.Runtime.Signal(t.Context(), id, syscall.SIGTERM); !errors.Is(err, agent.ErrNotRunning) {
		t.Errorf("Signal before Start: %v", err)
	}
	if err := m.Runtime.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if c, _ = m.get(id); c.State != agent.StateRunning || c.Pid == 0 || c.StartedAt.Before(before) {
		t.Errorf("after Start: %+v", c)
	}
	if err := m.Runtime.Start(t.Context(), id); err == nil {
		t.Error("it was started twice")
	}
	m.eventually("it takes signals", func() bool { return m.log(spec) != "" })
	if err := m.Runtime.Signal(t.Context(), id, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if c = m.told(id); c.Pid != 0 || c.FinishedAt.Before(c.StartedAt) || c.ExitCode != 143 || c.OOMKilled {
		t.Errorf("after its exit: %+v", c)
	}
	for range 2 {
		if err := m.Runtime.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if c, ok := m.get(id); ok {
		t.Errorf("after Remove: %+v", c)
	}
	if err := m.Runtime.Start(t.Context(), id); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("Start after Remove: %v", err)
	}
}

func testExitCodes(t *testing.T, m *machine) {
	for _, code := range []int{0, 1, 42, 255} {
		id := m.run(m.spec("exit", strconv.Itoa(code)))
		if c := m.exited(id); int(c.ExitCode) != code || c.OOMKilled {
			t.Errorf("exit %d: %+v", code, c)
		}
	}
}

func testSignals(t *testing.T, m *machine) {
	spec := m.spec("stubborn")
	id := m.run(spec)
	m.eventually("it ignores signals", func() bool { return m.log(spec) != "" })
	if err := m.Runtime.Signal(t.Context(), id, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := m.Runtime.Signal(t.Context(), id, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if c := m.told(id); c.ExitCode != 137 || c.OOMKilled {
		t.Errorf("after SIGKILL: %+v", c)
	}
	if err := m.Runtime.Signal(t.Context(), id, syscall.SIGTERM); !errors.Is(err, agent.ErrNotRunning) {
		t.Errorf("Signal after the exit: %v", err)
	}
	if err := m.Runtime.Signal(t.Context(), "none", syscall.SIGTERM); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("Signal to no container: %v", err)
	}
}

func testFailedStart(t *testing.T, m *machine) {
	id := m.create(m.spec("no-such-program"))
	err := m.Runtime.Start(t.Context(), id)
	if err == nil || !strings.Contains(err.Error(), `exec: "no-such-program": executable file not found in $PATH`) {
		t.Errorf("Start of a program that is not there: %v", err)
	}
	if err := m.Runtime.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	spec := m.spec("sleep")
	spec.Image = "docker.io/library/none:1"
	if err := m.Runtime.Create(t.Context(), spec); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("Create from an image that is not there: %v", err)
	}
	if _, ok := m.get(spec.ID); ok {
		t.Error("a failed Create left a container")
	}
}

func testEnvironment(t *testing.T, m *machine) {
	spec := m.spec("env")
	spec.Env = []string{"A=1", "B=two words", "A=3"}
	m.exited(m.run(spec))
	m.eventually("the output is in the log", func() bool { return strings.Contains(m.log(spec), "PATH=") })
	for _, want := range []string{"A=3\n", "B=two words\n", "PATH=/bin\n"} {
		if log := m.log(spec); !strings.Contains(log, "stdout F "+want) {
			t.Errorf("the environment lacks %q:\n%s", want, log)
		}
	}
	spec = m.spec()
	spec.Command, spec.Args = nil, []string{"0.01"} // sleep is the image's entrypoint
	if c := m.exited(m.run(spec)); c.ExitCode != 0 {
		t.Errorf("the image's entrypoint with the container's arguments: %+v", c)
	}
}

func testOutput(t *testing.T, m *machine) {
	out, errs := m.spec("echo", "to", "stdout"), m.spec("err", "to", "stderr")
	m.run(out)
	m.run(errs)
	m.eventually("the output is in the logs", func() bool {
		return m.log(out) == "stdout F to stdout\n" && m.log(errs) == "stderr F to stderr\n"
	})
}

func testTerminal(t *testing.T, m *machine) {
	spec := m.spec("tty")
	spec.TTY, spec.Stdin = true, true
	m.run(spec)
	m.eventually("it has a terminal", func() bool { return strings.HasPrefix(m.log(spec), "stdout F true") })
	spec = m.spec("tty")
	m.run(spec)
	m.eventually("it has none", func() bool { return m.log(spec) == "stdout F false\n" })
	spec = m.spec("cat")
	spec.Stdin = true
	id := m.run(spec)
	if c, _ := m.get(id); c.State != agent.StateRunning {
		t.Errorf("with its input open: %+v", c)
	}
}

func testOutOfMemory(t *testing.T, m *machine) {
	if !m.CountsMemory {
		t.Skip("memory limits have no effect here")
	}
	spec := m.spec("oom")
	spec.Resources.MemoryLimit = 32 << 20
	id := m.run(spec)
	if c := m.exited(id); c.ExitCode != 137 || !c.OOMKilled {
		t.Errorf("after its memory was used up: %+v", c)
	}
	m.reopen()
	if c, _ := m.get(id); c.ExitCode != 137 || !c.OOMKilled {
		t.Errorf("that, after a restart: %+v", c)
	}
}

func testReopen(t *testing.T, m *machine) {
	spec := m.spec("tick")
	id := m.run(spec)
	created := m.create(m.spec("exit", "7"))
	m.eventually("it ticks", func() bool { return strings.Contains(m.log(spec), " F 5\n") })
	before, _ := m.get(id)
	m.reopen()
	after, _ := m.get(id)
	if after.State != agent.StateRunning || after.Pid != before.Pid || !after.StartedAt.Equal(before.StartedAt) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if c, _ := m.get(created); c.State != agent.StateCreated {
		t.Errorf("one that was only created: %+v", c)
	}
	seen := strings.Count(m.log(spec), "\n")
	m.eventually("it ticks on", func() bool { return strings.Count(m.log(spec), "\n") > seen+5 })
	if err := m.Runtime.Signal(t.Context(), id, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if c := m.exited(id); c.ExitCode != 143 {
		t.Errorf("after its end: %+v", c)
	}
	n := 0
	for line := range strings.Lines(m.log(spec)) {
		if line != fmt.Sprintf("stdout F %d\n", n) {
			t.Fatalf("line %d of the log is %q: output was lost or doubled", n, line)
		}
		n++
	}
	if err := m.Runtime.Start(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	if c := m.exited(created); c.ExitCode != 7 {
		t.Errorf("one created before and started after: %+v", c)
	}
}

func testExitWhileAway(t *testing.T, m *machine) {
	spec := m.spec("sleep", "0.2")
	id := m.run(spec)
	done := m.run(m.spec("exit", "9"))
	m.exited(done)
	m.reopen()
	m.eventually("the exit is known", func() bool {
		c, _ := m.get(id)
		return c.State == agent.StateExited
	})
	if c, _ := m.get(id); c.ExitCode != 0 || c.FinishedAt.Before(c.StartedAt) {
		t.Errorf("that ended about the restart: %+v", c)
	}
	if c, _ := m.get(done); c.State != agent.StateExited || c.ExitCode != 9 || c.StartedAt.IsZero() {
		t.Errorf("that ended before the restart: %+v", c)
	}
}

func testRemoveRunning(t *testing.T, m *machine) {
	for range 3 {
		id := m.run(m.spec("stubborn"))
		if err := m.Runtime.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if c, ok := m.get(id); ok {
			t.Errorf("after Remove: %+v", c)
		}
	}
	if err := m.Runtime.Remove(t.Context(), "never-was"); err != nil {
		t.Errorf("Remove of what never was: %v", err)
	}
}

func testMany(t *testing.T, m *machine) {
	const n = 8
	var all sync.WaitGroup
	specs := make([]*agent.ContainerSpec, n)
	for i := range specs {
		specs[i] = m.spec("sleep")
		if i%2 == 1 {
			specs[i].Pod = specs[i-1].Pod
			specs[i].Name = "second"
		}
	}
	for _, spec := range specs {
		all.Go(func() {
			for range 3 {
				if err := m.Runtime.Create(t.Context(), spec); err != nil {
					t.Error(err)
					return
				}
				if err := m.Runtime.Start(t.Context(), spec.ID); err != nil {
					t.Error(err)
				}
				if err := m.Runtime.Remove(t.Context(), spec.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if list, err := m.Runtime.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("left over: %+v (%v)", list, err)
	}
}

func testDiskUsage(t *testing.T, m *machine) {
	if _, err := m.Runtime.DiskUsage(t.Context(), "none"); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("of a container that is not there: %v", err)
	}
	id := m.run(m.spec("sleep"))
	if use, err := m.Runtime.DiskUsage(t.Context(), id); err != nil || use.Bytes < 0 || use.Bytes > 1<<20 {
		t.Errorf("of a container that wrote nothing: %+v, %v", use, err)
	}
}
