package runtimetest

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/disk"
	"covey.dev/covey/agent/logs"
)

// Fake is a Runtime in memory. Its processes are Programs; their output goes to real log files. It is safe for
// concurrent use.
type Fake struct {
	// Programs by the base name of the first word of the command. Set before use.
	Programs map[string]Program
	// Fail, when set, may make an operation ("create", "start", "signal", "remove", "exec", "list", "measure", "pull") on a
	// container or image fail.
	Fail func(operation, id string) error
	// Disk is what containers have written, by name.
	Disk map[string]disk.Usage
	// Pullable are the refs that Pull finds, with what is then present.
	Pullable map[string]FakeImage
	// AskRegistry, if set, is called before each pull and may refuse it.
	AskRegistry func(ref string, auth agent.Credentials) error

	mu         sync.Mutex
	containers map[string]*fakeContainer
	images     map[string]FakeImage
	nextPid    int
	watchers   map[*watcher]struct{}
	running    sync.WaitGroup
}

var _ agent.Runtime = (*Fake)(nil)

// NewFake returns a fake with the built-in programs and no image.
func NewFake() *Fake {
	return &Fake{
		Programs:   builtinPrograms(),
		Pullable:   map[string]FakeImage{},
		Disk:       map[string]disk.Usage{},
		containers: map[string]*fakeContainer{},
		images:     map[string]FakeImage{},
		nextPid:    1000,
		watchers:   map[*watcher]struct{}{},
	}
}

// Close kills every process and waits until all have ended.
func (f *Fake) Close() {
	f.mu.Lock()
	for _, c := range f.containers {
		c.kill()
	}
	f.mu.Unlock()
	f.running.Wait()
}

// Create implements agent.Runtime.
func (f *Fake) Create(_ context.Context, spec *agent.ContainerSpec) error {
	if err := f.fail("create", spec.ID); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, taken := f.containers[spec.ID]; taken {
		return fmt.Errorf("create container %s: %w", spec.ID, agent.ErrExists)
	}
	image, ok := f.findImage(spec.Image)
	if !ok {
		return fmt.Errorf("create container %s: image %s: %w", spec.ID, spec.Image, agent.ErrNotFound)
	}
	c := newFakeContainer(spec, image)
	c.oom = func() { f.oomKill(c) }
	f.containers[spec.ID] = c
	return nil
}

// Start implements agent.Runtime.
func (f *Fake) Start(_ context.Context, id string) error {
	if err := f.fail("start", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.containers[id]
	if !ok {
		return fmt.Errorf("start container %s: %w", id, agent.ErrNotFound)
	}
	if c.status.State != agent.StateCreated {
		return fmt.Errorf("start container %s: it is %s already", id, c.status.State)
	}
	program, err := f.program(c.args)
	if err != nil {
		return fmt.Errorf("start container %s: %w", id, err)
	}
	f.nextPid++
	c.status.Pid = f.nextPid
	c.status.State, c.status.StartedAt = agent.StateRunning, time.Now()
	f.running.Go(func() { f.runContainer(c, program) })
	return nil
}

func (f *Fake) program(args []string) (Program, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("no command given")
	}
	if p, ok := f.Programs[filepath.Base(args[0])]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("exec: %q: executable file not found in $PATH", args[0])
}

// runContainer runs a container's first process and keeps what became of it.
func (f *Fake) runContainer(c *fakeContainer, program Program) {
	log := logs.NewWriter(c.spec.LogPath, logs.WriterOptions{})
	code := c.run(program, log)
	_ = log.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	c.status.State, c.status.Pid = agent.StateExited, 0
	c.status.FinishedAt, c.status.ExitCode = time.Now(), int32(code)
	f.tell(c.spec.ID)
}

// DiskUsage implements agent.Runtime; it tells what is in Disk.
func (f *Fake) DiskUsage(_ context.Context, id string) (disk.Usage, error) {
	if err := f.fail("measure", id); err != nil {
		return disk.Usage{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.containers[id]
	if !ok {
		return disk.Usage{}, fmt.Errorf("files of container %s: %w", id, agent.ErrNotFound)
	}
	return f.Disk[c.spec.Name], nil
}

// SetDisk changes what containers of that name have written.
func (f *Fake) SetDisk(name string, use disk.Usage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Disk[name] = use
}

// Signal implements agent.Runtime.
func (f *Fake) Signal(_ context.Context, id string, sig syscall.Signal) error {
	if err := f.fail("signal", id); err != nil {
		return err
	}
	c, err := f.runningContainer("signal", id)
	if err != nil {
		return err
	}
	c.signal(sig)
	return nil
}

// runningContainer finds a container that has a process.
func (f *Fake) runningContainer(doing, id string) (*fakeContainer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.containers[id]
	if !ok {
		return nil, fmt.Errorf("%s container %s: %w", doing, id, agent.ErrNotFound)
	}
	if c.status.State != agent.StateRunning {
		return nil, fmt.Errorf("%s container %s: %w", doing, id, agent.ErrNotRunning)
	}
	return c, nil
}

// Remove implements agent.Runtime.
func (f *Fake) Remove(ctx context.Context, id string) error {
	if err := f.fail("remove", id); err != nil {
		return err
	}
	f.mu.Lock()
	c, ok := f.containers[id]
	if !ok {
		f.mu.Unlock()
		return nil
	}
	started := c.status.State != agent.StateCreated
	c.kill()
	f.mu.Unlock()
	if started {
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.containers, id)
	return nil
}

// List implements agent.Runtime, ordered by ID.
func (f *Fake) List(context.Context) ([]agent.Container, error) {
	if err := f.fail("list", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []agent.Container
	for _, id := range slices.Sorted(maps.Keys(f.containers)) {
		list = append(list, f.containers[id].status)
	}
	return list, nil
}

// watcher is one call of Watch; pending is guarded by the fake's mutex.
type watcher struct {
	pending []string
	wake    chan struct{}
}

// Watch implements agent.Runtime.
func (f *Fake) Watch(ctx context.Context, changed func(id string)) error {
	w := &watcher{wake: make(chan struct{}, 1)}
	f.mu.Lock()
	f.watchers[w] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, w)
	}()
	changed("")
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		f.mu.Lock()
		ids := w.pending
		w.pending = nil
		f.mu.Unlock()
		for _, id := range ids {
			changed(id)
		}
	}
}

// tell tells the watchers of an exit. f.mu is held.
func (f *Fake) tell(id string) {
	for w := range f.watchers {
		w.pending = append(w.pending, id)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// OOM kills a container's process as the kernel does when its memory is used up.
func (f *Fake) OOM(id string) error {
	c, err := f.runningContainer("OOM-kill", id)
	if err != nil {
		return err
	}
	f.oomKill(c)
	return nil
}

func (f *Fake) oomKill(c *fakeContainer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.status.OOMKilled = true
	c.kill()
}

// Spec returns what a container was created from.
func (f *Fake) Spec(id string) (agent.ContainerSpec, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.containers[id]
	if !ok {
		return agent.ContainerSpec{}, false
	}
	return *c.spec, true
}

func (f *Fake) fail(operation, id string) error {
	if f.Fail == nil {
		return nil
	}
	return f.Fail(operation, id)
}
