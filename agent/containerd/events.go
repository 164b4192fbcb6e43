package containerd

import (
	"context"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/cgroup"
)

// watcher is one call of Watch; pending is guarded by Runtime.mu.
type watcher struct {
	pending []string
	wake    chan struct{}
}

// Watch implements agent.Runtime. Exits are told once their record is kept and the output is in the log.
func (r *Runtime) Watch(ctx context.Context, changed func(id string)) error {
	w := &watcher{wake: make(chan struct{}, 1)}
	r.mu.Lock()
	r.watchers[w] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, w)
	}()
	changed("")
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		r.mu.Lock()
		ids := w.pending
		w.pending = nil
		r.mu.Unlock()
		for _, id := range ids {
			changed(id)
		}
	}
}

// tell tells the watchers of an exit. r.mu is held.
func (r *Runtime) tell(id string) {
	for w := range r.watchers {
		w.pending = append(w.pending, id)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// handle takes one of containerd's events.
func (r *Runtime) handle(envelope *events.Envelope) {
	if envelope == nil || envelope.Event == nil {
		return
	}
	event, err := typeurl.UnmarshalAny(envelope.Event)
	if err != nil {
		return // an event of a kind that covey does not know
	}
	switch e := event.(type) {
	case *apievents.TaskOOM:
		r.mu.Lock()
		defer r.mu.Unlock()
		if rec, ok := r.records[e.ContainerID]; ok {
			rec.oom = true
		}
	case *apievents.TaskExit:
		if e.ID != e.ContainerID {
			return // a process of Exec
		}
		ended := exit{FinishedAt: e.ExitedAt.AsTime(), Code: int32(e.ExitStatus), pid: int(e.Pid)}
		r.exits.Go(func() { r.exited(e.ContainerID, ended) })
	case *apievents.TaskDelete:
		r.taskLost(e.ContainerID, int(e.Pid))
	case *apievents.ImageCreate, *apievents.ImageUpdate, *apievents.ImageDelete:
		r.exits.Go(func() { r.noteNames(r.in(context.Background())) })
	case *apievents.ContainerDelete:
		r.exits.Go(func() { r.deleted(e.ID) })
	}
}

// deleted forgets a container that was deleted, by somebody with nerdctl or by Remove, unless its ID was taken again since.
func (r *Runtime) deleted(id string) {
	ctx, cancel := context.WithTimeout(r.in(context.Background()), 10*time.Second)
	defer cancel()
	rec, ok := r.lookup(id)
	if !ok || rec.State == creating {
		return
	}
	if _, err := r.client.LoadContainer(ctx, id); isNotFound(err) {
		r.forget(&rec)
	}
}

// exited records the end of a container's first process.
func (r *Runtime) exited(id string, ended exit) {
	ctx, cancel := context.WithTimeout(r.in(context.Background()), 10*time.Second)
	defer cancel()
	r.awaitOutput(ctx, id)
	r.mu.Lock()
	rec, ok := r.records[id]
	if ok && rec.State == agent.StateCreated {
		rec.ended = &ended // Start decides whether it had been started
	}
	// An ID may have been taken again, so the process is compared; not the times, for the clock may have been set back.
	done := !ok || rec.State != agent.StateRunning || ended.pid != 0 && rec.Pid != ended.pid
	r.mu.Unlock()
	if !done {
		r.finish(ctx, rec, ended)
	}
}

// awaitOutput returns when the shim has written all the output of an ended container, or is gone.
func (r *Runtime) awaitOutput(ctx context.Context, id string) {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return
	}
	wait, err := task.Wait(ctx)
	if err != nil {
		return
	}
	select {
	case <-wait:
	case <-ctx.Done():
	}
}

// finish records how a container ended, in memory and with containerd, and tells the watchers.
func (r *Runtime) finish(ctx context.Context, rec *record, ended exit) {
	kills := cgroup.OOMKills(rec.cgroup)
	r.mu.Lock()
	ended.StartedAt = rec.StartedAt
	ended.OOMKilled = ended.Code != 0 && (ended.OOMKilled || rec.oom || kills > 0)
	rec.apply(ended)
	id := rec.ID
	r.mu.Unlock()
	if c, err := r.client.LoadContainer(ctx, id); err == nil {
		if _, err := c.SetLabels(ctx, map[string]string{labelExit: ended.String()}); err != nil && !isNotFound(err) {
			r.log.Warn("a container's exit code could not be kept", "container", id, "err", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(id)
}

// apply makes a record that of an ended container.
func (rec *record) apply(e exit) {
	rec.State, rec.Pid = agent.StateExited, 0
	rec.FinishedAt, rec.ExitCode, rec.OOMKilled = e.FinishedAt, e.Code, e.OOMKilled
	if rec.StartedAt = e.StartedAt; rec.StartedAt.IsZero() {
		rec.StartedAt = rec.CreatedAt
	}
}
