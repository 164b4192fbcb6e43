package containerd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/cgroup"
	"covey.dev/covey/agent/containerd/output"
)

// Start implements agent.Runtime.
func (r *Runtime) Start(ctx context.Context, id string) error {
	rec, ok := r.lookup(id)
	if !ok || rec.State == creating {
		return fmt.Errorf("start container %s: %w", id, agent.ErrNotFound)
	}
	if rec.State != agent.StateCreated {
		return fmt.Errorf("start container %s: it is %s already", id, rec.State)
	}
	ctx = r.in(ctx)
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return fmt.Errorf("start container %s: %w", id, err)
	}
	task, err := r.createdTask(ctx, c, &rec)
	if err != nil {
		return fmt.Errorf("start container %s: %w", id, shorten(err))
	}
	// Before the process runs: should covey be killed now, the container is known to have been started.
	started, err := r.markStarted(id)
	if err == nil {
		err = r.step(ctx, "runc start", func(ctx context.Context) error {
			return r.call(ctx, id, func() error { return task.Start(ctx) })
		})
	}
	if err != nil {
		r.noteHung(id, err)
		r.clearNotes(id)
		cleanCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		deleteErr := r.deleteTask(cleanCtx, c, &rec)
		r.dropEarlyExit(id)
		return fmt.Errorf("start container %s: %w", id, errors.Join(shorten(err), deleteErr))
	}
	r.running(ctx, id, int(task.Pid()), started)
	return nil
}

// createdTask makes the container's first process, which waits to be started, or finds it where an earlier covey made it.
func (r *Runtime) createdTask(ctx context.Context, c client.Container, rec *record) (client.Task, error) {
	if task, err := r.task(ctx, c); !isNotFound(err) {
		return task, err
	}
	spec, err := c.Spec(ctx)
	if err != nil {
		return nil, err
	}
	// A covey that was killed while it made the task has left the socket for attachments there.
	r.clearNotes(rec.ID)
	if err := os.MkdirAll(r.notes(rec.ID), 0o700); err != nil {
		return nil, err
	}
	destination := output.Destination{
		Path: rec.LogPath, MaxBytes: r.cfg.LogMaxBytes, MaxFiles: r.cfg.LogMaxFiles,
		ExitFile: r.exitFile(rec.ID), Cgroup: rec.cgroup,
	}
	stdin := map[string]string{"open": output.OpenStdin, "once": output.OpenStdinOnce}[spec.Annotations[annotationStdin]]
	unlock, err := r.enterGroup(ctx, c)
	if err != nil {
		return nil, err
	}
	defer unlock()
	go r.hasten() // not waited for, should the kernel not let it return
	var task client.Task
	err = r.step(ctx, "runc create", func(ctx context.Context) (err error) {
		task, err = c.NewTask(ctx, creator(destination.URI(), spec.Process.Terminal, stdin))
		return err
	})
	if err != nil {
		r.noteHung(rec.ID, err)
		r.taskIs(rec.ID, noTask)
		return nil, err
	}
	r.taskIs(rec.ID, taskThere)
	return task, nil
}

// hasten has the first process, which runc moves to its cgroup some 15 ms from now, not wait for that. What is under way does so for
// all.
func (r *Runtime) hasten() {
	if !r.hastening.TryLock() {
		return
	}
	defer r.hastening.Unlock()
	if err := cgroup.Hasten(); err != nil {
		r.log.Debug("moves to cgroups are not hastened", "err", err)
	}
}

// noteHung remembers the pod of a container that runc hung with.
func (r *Runtime) noteHung(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec, ok := r.records[id]; ok && errors.Is(err, errHung) {
		r.hung[rec.Pod.UID] = true
	}
}

// creator has the shim write the output to the log.
func creator(destination *url.URL, terminal bool, stdin string) cio.Creator {
	return func(string) (cio.IO, error) {
		config := cio.Config{Terminal: terminal, Stdin: stdin, Stdout: destination.String(), Stderr: destination.String()}
		if terminal {
			config.Stderr = ""
		}
		return addressIO{config}, nil
	}
}

// addressIO is the IO of a task that the shim takes care of.
type addressIO struct{ config cio.Config }

func (a addressIO) Config() cio.Config { return a.config }
func (addressIO) Cancel()              {}
func (addressIO) Wait()                {}
func (addressIO) Close() error         { return nil }

// running records a start, and the exit when that was faster.
func (r *Runtime) running(ctx context.Context, id string, pid int, started time.Time) {
	r.mu.Lock()
	rec, ok := r.records[id]
	if !ok {
		r.mu.Unlock()
		return
	}
	rec.State, rec.Pid, rec.StartedAt = agent.StateRunning, pid, started
	ended := rec.ended
	r.mu.Unlock()
	if ended != nil && (ended.pid == 0 || ended.pid == pid) {
		r.finish(ctx, rec, *ended)
	}
}

// dropEarlyExit forgets the exit of a process that was never started.
func (r *Runtime) dropEarlyExit(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec, ok := r.records[id]; ok {
		rec.ended = nil
	}
}

// notes is a container's folder of notes about its running. It lies with the state, which a reboot ends: it costs no write
// to the disk.
func (r *Runtime) notes(id string) string       { return filepath.Join(r.cfg.State, "notes", id) }
func (r *Runtime) startedFile(id string) string { return filepath.Join(r.notes(id), "started") }
func (r *Runtime) exitFile(id string) string    { return filepath.Join(r.notes(id), "exit") }

func (r *Runtime) markStarted(id string) (time.Time, error) {
	if err := os.WriteFile(r.startedFile(id), nil, 0o600); err != nil {
		return time.Time{}, err
	}
	return r.startedAt(id), nil
}

// startedAt is when the container was started since the machine's boot; zero when it was not.
func (r *Runtime) startedAt(id string) time.Time {
	info, err := os.Stat(r.startedFile(id))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (r *Runtime) clearNotes(id string) { _ = os.RemoveAll(r.notes(id)) }

// shortError shows the end of an error of runc, which says what is wrong after five layers of who was told by whom.
type shortError struct{ error }

func (e shortError) Unwrap() error { return e.error }

func (e shortError) Error() string {
	text := e.error.Error()
	for _, layer := range []string{"unable to start container process: ", "error during container init: ", "OCI runtime create failed: "} {
		if _, rest, ok := strings.Cut(text, layer); ok {
			text = rest
		}
	}
	return text
}

func shorten(err error) error { return shortError{err} }
