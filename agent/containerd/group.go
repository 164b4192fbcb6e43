package containerd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
)

// shimGroup is the containers that share one shim process. A shim ends itself when its last task is deleted, and while it
// ends it still takes calls that it then drops. So tasks are made and deleted one at a time within a group, and a group
// whose shim was let end is not used again.
type shimGroup struct {
	sync.Mutex
	ended bool // guarded by Runtime.mu
}

// group finds a group. r.mu is held.
func (r *Runtime) group(name string) *shimGroup {
	g, ok := r.groups[name]
	if !ok {
		g = &shimGroup{}
		r.groups[name] = g
	}
	return g
}

// chooseGroup gives the group for a pod's container: the pod's own, or the fullest that has room, so that few shims are
// needed, or a new one. r.mu is held.
func (r *Runtime) chooseGroup(uid string) string {
	pods := map[string]map[string]bool{} // UIDs by group
	for _, rec := range r.records {
		name := rec.shimGroup
		if !strings.HasPrefix(name, r.programs.version) || r.group(name).ended {
			continue // another version's shim, or one that ends
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
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	return r.programs.version + "-" + hex.EncodeToString(id[:])
}

// enterGroup locks the group that a container is to be started in, and counts its task as there. The container is moved
// when its group has ended meanwhile.
func (r *Runtime) enterGroup(ctx context.Context, c client.Container) (*shimGroup, error) {
	for {
		r.mu.Lock()
		rec, ok := r.records[c.ID()]
		if !ok {
			r.mu.Unlock()
			return nil, fmt.Errorf("it was removed")
		}
		before := rec.shimGroup
		if r.group(before).ended {
			rec.shimGroup = r.chooseGroup(rec.Pod.UID)
		}
		name := rec.shimGroup
		g := r.group(name)
		r.mu.Unlock()
		if name != before {
			if err := regroup(ctx, c, name); err != nil {
				return nil, err
			}
		}
		g.Lock()
		r.mu.Lock()
		ended := g.ended
		rec.task = !ended
		r.mu.Unlock()
		if !ended {
			return g, nil
		}
		g.Unlock()
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
func (r *Runtime) lockGroup(id string) (unlock func()) {
	r.mu.Lock()
	rec, ok := r.records[id]
	if !ok {
		r.mu.Unlock()
		return func() {}
	}
	g := r.group(rec.shimGroup)
	r.mu.Unlock()
	g.Lock()
	return g.Unlock
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
