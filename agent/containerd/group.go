package containerd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sync/semaphore"
)

// shimGroup is the containers that share one shim process. A shim ends itself when its last task is deleted, and also when
// the only one cannot be made; while it ends it still takes calls that it then drops. So a task is made or deleted while
// others are only as long as the shim is sure to have one more, and alone otherwise. A group whose shim was let end is not
// used again.
type shimGroup struct {
	calls *semaphore.Weighted

	// Guarded by Runtime.mu.
	ended bool
	early io.Closer // has the shim end that was started for it and has had no container; nil when there is none
}

// letGo ends the group's shim if it was started early and has had no container.
func (g *shimGroup) letGo() {
	if g.early != nil {
		_ = g.early.Close() // of a pipe
		g.early = nil
	}
}

// callsPerShim is how many calls at a time have a shim run runc. It has room for the ends of 32 processes that it has not
// looked at yet; when there are more at once, it goes on by one a second.
const callsPerShim = 8

// How much of a group's calls one takes.
const (
	beside int64 = 1
	alone  int64 = callsPerShim
)

// group finds a group. r.mu is held.
func (r *Runtime) group(name string) *shimGroup {
	g, ok := r.groups[name]
	if !ok {
		g = &shimGroup{calls: semaphore.NewWeighted(callsPerShim)}
		r.groups[name] = g
	}
	return g
}

// chooseGroup gives the group for a pod's container: the pod's own, or the fullest that has room, so that few shims are
// needed, or a new one. A pod with which runc hung has its containers alone, so that others need not wait when it does again.
// r.mu is held.
func (r *Runtime) chooseGroup(uid string) string {
	if r.hung[uid] {
		return r.newGroup()
	}
	pods := map[string]map[string]bool{} // UIDs by group
	for _, rec := range r.records {
		name := rec.shimGroup
		if !strings.HasPrefix(name, r.programs.version) || r.group(name).ended || r.hung[rec.Pod.UID] {
			continue // another version's shim, or one that ends, or is left to a pod alone
		}
		if rec.Pod.UID == uid {
			return name
		}
		if pods[name] == nil {
			pods[name] = map[string]bool{}
		}
		pods[name][rec.Pod.UID] = true
	}
	best, most := "", -1
	for name, uids := range pods {
		if n := len(uids); n < r.cfg.PodsPerShim && n > most {
			best, most = name, n
		}
	}
	if best != "" {
		return best
	}
	return r.newGroup()
}

// dropGroup forgets a group that has no container any more. r.mu is held.
func (r *Runtime) dropGroup(name string) {
	for _, rec := range r.records {
		if rec.shimGroup == name {
			return
		}
	}
	if g, ok := r.groups[name]; ok {
		g.letGo()
		delete(r.groups, name) // its name will not come again
	}
}

func (r *Runtime) newGroup() string {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	return r.programs.version + "-" + hex.EncodeToString(id[:])
}

// enterGroup locks the group that a container is to be started in, and counts its task as being made. The container is moved
// when its group has ended meanwhile.
func (r *Runtime) enterGroup(ctx context.Context, c client.Container) (unlock func(), err error) {
	known := "" // to containerd
	for {
		r.mu.Lock()
		rec, ok := r.records[c.ID()]
		if !ok {
			r.mu.Unlock()
			return nil, fmt.Errorf("it was removed")
		}
		if known == "" {
			known = rec.shimGroup
		}
		if r.group(rec.shimGroup).ended {
			rec.shimGroup = r.chooseGroup(rec.Pod.UID)
		}
		name := rec.shimGroup
		g := r.group(name)
		r.mu.Unlock()
		if name != known {
			if err := regroup(ctx, c, name); err != nil {
				return nil, err
			}
			known = name
		}
		waitCtx, cancel := context.WithTimeout(ctx, r.cfg.StepTimeout/6)
		unlock, _, err := r.lockGroup(waitCtx, rec, g)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.leave(c.ID(), g) // it hangs with another's container
			continue
		}
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		ended := g.ended
		if !ended {
			rec.task = taskChanging
		}
		r.mu.Unlock()
		if !ended {
			return unlock, nil
		}
		unlock()
	}
}

// leave moves a container that has no task yet from a group to one of its own.
func (r *Runtime) leave(id string, from *shimGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec, ok := r.records[id]; ok && r.group(rec.shimGroup) == from {
		rec.shimGroup = r.newGroup()
	}
}

// leaveGroup locks the group that a container's task is deleted from, and tells what the shim had for it until now.
func (r *Runtime) leaveGroup(ctx context.Context, id string) (unlock func(), before taskState, err error) {
	r.mu.Lock()
	rec, ok := r.records[id]
	if !ok {
		r.mu.Unlock()
		return func() {}, noTask, nil
	}
	g := r.group(rec.shimGroup)
	r.mu.Unlock()
	return r.lockGroup(ctx, rec, g)
}

// lockGroup locks a container's group, so that its task can be made or deleted; one that is there counts no more from now.
func (r *Runtime) lockGroup(ctx context.Context, rec *record, g *shimGroup) (unlock func(), before taskState, err error) {
	if err := g.calls.Acquire(ctx, beside); err != nil {
		return nil, noTask, err
	}
	if before, ok := r.change(rec, beside); ok {
		return func() { g.calls.Release(beside) }, before, nil
	}
	g.calls.Release(beside)
	if err := g.calls.Acquire(ctx, alone); err != nil {
		return nil, noTask, err
	}
	before, _ = r.change(rec, alone)
	return func() { g.calls.Release(alone) }, before, nil
}

// change marks a container's task, if there is one, as about to go. If it is not alone, it does so only when there is another
// that keeps the shim from ending: whoever deletes that one waits for those who are here beside it.
func (r *Runtime) change(rec *record, how int64) (before taskState, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, ok = rec.task, how == alone
	for _, other := range r.records {
		ok = ok || other != rec && other.shimGroup == rec.shimGroup && other.task == taskThere
	}
	if ok && before == taskThere {
		rec.task = taskChanging
	}
	return before, ok
}

// taskIs sets what a container's shim has for it. A shim ends with its last task.
func (r *Runtime) taskIs(id string, state taskState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.records[id]
	if !ok {
		return
	}
	rec.task = state
	r.group(rec.shimGroup).letGo()
	for _, other := range r.records {
		if other.shimGroup == rec.shimGroup && other.task != noTask {
			return
		}
	}
	r.group(rec.shimGroup).ended = true
}

// taskLost hears that a task is gone; when nobody here deletes it, its shim has died. The container's ID may have been taken again since,
// so the process is compared.
func (r *Runtime) taskLost(id string, pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec, ok := r.records[id]; ok && rec.task == taskThere && (rec.Pid == 0 || rec.Pid == pid) {
		rec.task = noTask
		r.group(rec.shimGroup).ended = true
	}
}

// call has a container's shim do something for which it runs runc, when it can take the call.
func (r *Runtime) call(ctx context.Context, id string, do func() error) error {
	r.mu.Lock()
	rec, ok := r.records[id]
	if !ok {
		r.mu.Unlock()
		return do()
	}
	g := r.group(rec.shimGroup)
	r.mu.Unlock()
	if err := g.calls.Acquire(ctx, beside); err != nil {
		return err
	}
	defer g.calls.Release(beside)
	return do()
}

// regroup changes the group in a container's spec and labels.
func regroup(ctx context.Context, c client.Container, name string) error {
	return c.Update(ctx, func(_ context.Context, _ *client.Client, info *containers.Container) error {
		var spec oci.Spec
		if err := json.Unmarshal(info.Spec.GetValue(), &spec); err != nil {
			return err
		}
		spec.Annotations[annotationShimGroup] = name
		changed, err := typeurl.MarshalAny(&spec)
		if err != nil {
			return err
		}
		info.Spec = changed
		info.Labels[labelShim] = name
		return nil
	})
}
