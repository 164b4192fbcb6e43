package containerd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
)

// shimGroup is the containers that share one shim process. A shim ends itself when its last task is deleted, and while it
// ends it still takes calls that it then drops. So tasks are made and deleted one at a time within a group, and a group
// whose shim was let end is not used again.
type shimGroup struct {
	busy  chan struct{} // holds one while a task is made or deleted
	ended bool          // guarded by Runtime.mu
}

func (g *shimGroup) lock(ctx context.Context) error {
	select {
	case g.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *shimGroup) unlock() { <-g.busy }

// group finds a group. r.mu is held.
func (r *Runtime) group(name string) *shimGroup {
	g, ok := r.groups[name]
	if !ok {
		g = &shimGroup{busy: make(chan struct{}, 1)}
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

func (r *Runtime) newGroup() string {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	return r.programs.version + "-" + hex.EncodeToString(id[:])
}

// enterGroup locks the group that a container is to be started in, and counts its task as there. The container is moved
// when its group has ended meanwhile.
func (r *Runtime) enterGroup(ctx context.Context, c client.Container) (*shimGroup, error) {
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
		err := g.lock(waitCtx)
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
		rec.task = !ended
		r.mu.Unlock()
		if !ended {
			return g, nil
		}
		g.unlock()
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

// taskGone counts a container's task as deleted; its group is locked.
func (r *Runtime) taskGone(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone, ok := r.records[id]
	if !ok {
		return
	}
	gone.task = false
	for _, rec := range r.records {
		if rec.shimGroup == gone.shimGroup && rec.task {
			return
		}
	}
	r.group(gone.shimGroup).ended = true
}

// lockGroup locks a container's group for the deletion of its task.
func (r *Runtime) lockGroup(ctx context.Context, id string) (unlock func(), err error) {
	r.mu.Lock()
	rec, ok := r.records[id]
	if !ok {
		r.mu.Unlock()
		return func() {}, nil
	}
	g := r.group(rec.shimGroup)
	r.mu.Unlock()
	return g.unlock, g.lock(ctx)
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
