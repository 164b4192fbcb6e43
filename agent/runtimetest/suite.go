package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
)

// Harness is one fresh runtime under test.
type Harness struct {
	Runtime agent.Runtime
	// Archive is an OCI archive of an image named Image with the programs of imagetest.
	Archive []byte
	Image   string
	// Reopen ends the runtime's process, or what stands for it, and gives a runtime on the same machine. Containers go
	// on meanwhile.
	Reopen func(t *testing.T) agent.Runtime
	// CgroupParent is for ContainerSpec.CgroupParent.
	CgroupParent string
	// CountsMemory is false where memory limits have no effect.
	CountsMemory bool
}

// Run runs the conformance suite. Open is called for each test and cleans up with t.Cleanup; it fails the test when the
// machine is not left as it was.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	tests := map[string]func(*testing.T, *machine){
		"a container from creation to removal":      testLife,
		"exit codes":                                testExitCodes,
		"signals":                                   testSignals,
		"a start that fails":                        testFailedStart,
		"environment, image and command":            testEnvironment,
		"output goes to the log":                    testOutput,
		"exec":                                      testExec,
		"exec with input":                           testExecInput,
		"exec with a terminal":                      testExecTerminal,
		"exec ends with its context":                testExecCancelled,
		"attach with input":                         testAttachInput,
		"attach with input that is there once":      testAttachOnce,
		"attach with a terminal":                    testAttachTerminal,
		"attach ends with its context":              testAttachCancelled,
		"terminal and open input":                   testTerminal,
		"out of memory":                             testOutOfMemory,
		"containers go on while covey is restarted": testReopen,
		"exits while covey is away":                 testExitWhileAway,
		"removal takes all":                         testRemoveRunning,
		"many containers at once":                   testMany,
		"images":                                    testImages,
		"disk usage":                                testDiskUsage,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			m := &machine{Harness: h, t: t, logs: t.TempDir(), exits: make(chan string, 1000)}
			m.watch()
			if name != "images" {
				if _, err := m.Runtime.Load(t.Context(), bytes.NewReader(h.Archive)); err != nil {
					t.Fatal(err)
				}
			}
			test(t, m)
		})
	}
}

// machine is a harness with helpers for tests.
type machine struct {
	Harness
	t     *testing.T
	logs  string
	made  int
	exits chan string
	stop  func()
}

// watch collects exits, from when it returns until the runtime is reopened or the test ends.
func (m *machine) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	begun, done := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	watched := m.Runtime
	go func() {
		defer close(done)
		defer begin()
		if err := watched.Watch(ctx, func(id string) {
			if begin(); id != "" {
				m.exits <- id
			}
		}); !errors.Is(err, context.Canceled) {
			m.t.Errorf("Watch ended with %v", err)
		}
	}()
	stopped := false
	m.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}
	m.t.Cleanup(m.stop)
	<-begun
}

// reopen restarts the runtime.
func (m *machine) reopen() {
	m.t.Helper()
	m.stop()
	m.Runtime = m.Reopen(m.t)
	m.watch()
}

// spec is a container of a pod of its own.
func (m *machine) spec(command ...string) *agent.ContainerSpec {
	m.made++
	id := fmt.Sprintf("test-%d-%d", os.Getpid(), m.made)
	return &agent.ContainerSpec{
		ID:           id,
		Pod:          agent.PodRef{Namespace: "default", Name: "pod-" + id, UID: "uid-" + id},
		Name:         "main",
		Attempt:      3,
		SpecHash:     "hash",
		Image:        m.Image,
		Command:      command,
		Hostname:     "pod-" + id,
		CgroupParent: m.CgroupParent,
		Security:     &corev1.SecurityContext{},
		LogPath:      filepath.Join(m.logs, id, "3.log"),
	}
}

// create creates a container that is removed with the test.
func (m *machine) create(spec *agent.ContainerSpec) string {
	m.t.Helper()
	if err := m.Runtime.Create(m.t.Context(), spec); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := m.Runtime.Remove(ctx, spec.ID); err != nil {
			m.t.Errorf("clean up: %v", err)
		}
	})
	return spec.ID
}

// run creates and starts a container.
func (m *machine) run(spec *agent.ContainerSpec) string {
	m.t.Helper()
	id := m.create(spec)
	if err := m.Runtime.Start(m.t.Context(), id); err != nil {
		m.t.Fatal(err)
	}
	return id
}

// get finds a container in the list.
func (m *machine) get(id string) (agent.Container, bool) {
	m.t.Helper()
	list, err := m.Runtime.List(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	for _, c := range list {
		if c.ID == id {
			return c, true
		}
	}
	return agent.Container{}, false
}

// told waits until Watch tells of the exit, and gives the container then. Watch must have begun before the exit.
func (m *machine) told(id string) agent.Container {
	m.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case told := <-m.exits:
			if told != id {
				continue
			}
			c, ok := m.get(id)
			if !ok || c.State != agent.StateExited {
				m.t.Fatalf("Watch told that %s had ended, List says %q", id, c.State)
			}
			return c
		case <-timeout:
			c, _ := m.get(id)
			m.t.Fatalf("the exit of %s was not told; List says %+v", id, c)
		}
	}
}

// exited waits until a container has exited, and gives it.
func (m *machine) exited(id string) (c agent.Container) {
	m.t.Helper()
	m.eventually(id+" exits", func() bool {
		c, _ = m.get(id)
		return c.State == agent.StateExited
	})
	return c
}

// log reads a container's log; each line is "stdout F text".
func (m *machine) log(spec *agent.ContainerSpec) string {
	m.t.Helper()
	content, err := os.ReadFile(spec.LogPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		_, rest, _ := strings.Cut(line, " ")
		lines = append(lines, rest)
	}
	return strings.Join(lines, "")
}

// eventually waits for a condition that nothing tells of.
func (m *machine) eventually(what string, condition func() bool) {
	m.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			m.t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
