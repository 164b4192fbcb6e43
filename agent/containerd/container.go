package containerd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/nerdctl/v2/pkg/api/types/cri"
	"github.com/containerd/nerdctl/v2/pkg/labels/k8slabels"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/cgroup"
)

func isNotFound(err error) bool { return errdefs.IsNotFound(err) }

// Create implements agent.Runtime.
func (r *Runtime) Create(ctx context.Context, spec *agent.ContainerSpec) error {
	ctx = r.in(ctx)
	image, err := r.findImage(ctx, spec.Image)
	if err != nil {
		return fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	cgroup := filepath.Join("/", spec.CgroupParent, spec.ID)
	group, err := r.reserve(ctx, spec)
	if err != nil {
		return err
	}
	c, err := r.newContainer(ctx, spec, image, group, cgroup)
	if errdefs.IsAlreadyExists(err) {
		// A snapshot without a container is what remains of a creation that a power cut ended.
		if removed, removeErr := r.removeLone(ctx, spec.ID); removed {
			c, err = r.newContainer(ctx, spec, image, group, cgroup)
		} else if removeErr != nil {
			err = removeErr
		}
	}
	if err != nil {
		_, _ = r.removeLone(context.WithoutCancel(ctx), spec.ID) // it is told why there is no container
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.records, spec.ID)
		r.dropGroup(group)
		return fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	info, err := c.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	r.records[spec.ID] = recordFrom(info)
	return nil
}

// removeLone removes a container's snapshot if there is no such container.
func (r *Runtime) removeLone(ctx context.Context, id string) (removed bool, err error) {
	if _, err := r.client.LoadContainer(ctx, id); !isNotFound(err) {
		return false, nil
	}
	err = r.client.SnapshotService(r.snapshotter).Remove(r.leased(ctx), id)
	return err == nil, err
}

// reserve takes a container's ID and chooses the shim that it will run below.
func (r *Runtime) reserve(ctx context.Context, spec *agent.ContainerSpec) (group string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.records[spec.ID]; taken {
		return "", fmt.Errorf("create container %s: %w", spec.ID, agent.ErrExists)
	}
	group = r.chooseGroup(spec.Pod.UID)
	if _, known := r.groups[group]; !known {
		r.startShim(ctx, group)
	}
	r.records[spec.ID] = &record{
		shimGroup: group,
		Container: agent.Container{ID: spec.ID, Pod: spec.Pod, Name: spec.Name, State: creating},
	}
	return group, nil
}

// creating is the state of a container whose Create has not returned; List leaves it out.
const creating agent.ContainerState = ""

func (r *Runtime) newContainer(ctx context.Context, spec *agent.ContainerSpec, image client.Image, group, cgroup string) (client.Container, error) {
	specOpts, err := r.ociSpec(ctx, spec, image, group, cgroup)
	if err != nil {
		return nil, err
	}
	stop, err := client.GetOCIStopSignal(ctx, image, "SIGTERM")
	if err != nil {
		return nil, err
	}
	if spec.StopSignal != "" {
		stop = spec.StopSignal
	}
	if spec.FirstUser == 0 {
		ctx = r.leased(ctx) // where its files are another user's, layers may be made that are to go without it
	}
	return r.client.NewContainer(ctx, spec.ID,
		client.WithImage(image),
		client.WithSnapshotter(r.snapshotter),
		client.WithNewSnapshot(spec.ID, image, snapshotUsers(spec)...),
		client.WithRuntime(r.programs.shim, r.runcOptions(spec)),
		client.WithContainerLabels(labelsFor(spec, image.Target().Digest.String(), stop, group, cgroup, r.cfg.bootID)),
		client.WithContainerExtension(k8slabels.ContainerMetadataExtension, &cri.ContainerMetadata{LogPath: spec.LogPath}),
		client.WithNewSpec(specOpts...), // last: it may look at the snapshot's users
	)
}

// runningTask finds the process of a running container.
func (r *Runtime) runningTask(ctx context.Context, id string) (client.Task, error) {
	rec, ok := r.lookup(id)
	if !ok {
		return nil, agent.ErrNotFound
	}
	if rec.State != agent.StateRunning {
		return nil, agent.ErrNotRunning
	}
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.task(ctx, c)
}

// Remove implements agent.Runtime. It works too when the container's shim was killed.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	ctx = r.in(ctx)
	rec, _ := r.lookup(id)
	c, err := r.client.LoadContainer(ctx, id)
	if isNotFound(err) {
		r.forget(&rec)
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	labels, err := c.Labels(ctx)
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	taskErr := r.deleteTask(ctx, c, &rec)
	cgroupErr := cgroup.Remove(ctx, labels[labelCgroup])
	if cgroupErr != nil || taskErr != nil {
		return fmt.Errorf("remove container %s: %w", id, errors.Join(taskErr, cgroupErr))
	}
	if err := c.Delete(r.leased(ctx), client.WithSnapshotCleanup); err != nil && !isNotFound(err) {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	r.forget(&rec)
	return nil
}

// deleteTask kills a container's processes and ends its part of the shim.
func (r *Runtime) deleteTask(ctx context.Context, c client.Container, rec *record) error {
	task, err := r.task(ctx, c)
	if err == nil {
		err = r.step(ctx, "runc kill", func(ctx context.Context) error {
			return r.call(ctx, c.ID(), func() error { return client.WithProcessKill(ctx, task) })
		})
	}
	if task != nil && errors.Is(err, errHung) { // without it
		err = cgroup.Remove(ctx, rec.cgroup)
	}
	unlock, before, lockErr := r.leaveGroup(ctx, c.ID())
	if lockErr != nil {
		return lockErr
	}
	defer unlock()
	if err == nil {
		err = r.step(ctx, "runc delete", func(ctx context.Context) error { _, err := task.Delete(ctx); return err })
	}
	if err != nil && !isNotFound(err) {
		r.taskIs(c.ID(), before)
		return err
	}
	r.taskIs(c.ID(), noTask)
	return nil
}

// forget takes what is known of a container away, unless that was done and its ID was taken again.
func (r *Runtime) forget(rec *record) {
	r.forgetting.Lock()
	defer r.forgetting.Unlock()
	if now, ok := r.lookup(rec.ID); !ok || !now.CreatedAt.Equal(rec.CreatedAt) {
		return
	}
	r.clearNotes(rec.ID) // the ID is free only after that
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.records, rec.ID)
	if !r.hasRecords(rec.Pod.UID) {
		delete(r.hung, rec.Pod.UID)
	}
	r.dropGroup(rec.shimGroup)
}

// hasRecords is whether a pod has any container. r.mu is held.
func (r *Runtime) hasRecords(uid string) bool {
	for _, rec := range r.records {
		if rec.Pod.UID == uid {
			return true
		}
	}
	return false
}

// runcOptions tell the shim which runc to run, where runc keeps its state, and who has the pipes of the output: a container's
// root may open /dev/stdout.
func (r *Runtime) runcOptions(spec *agent.ContainerSpec) *runcoptions.Options {
	return &runcoptions.Options{
		BinaryName: r.programs.runc, Root: filepath.Join(r.cfg.State, "runc"), IoUid: spec.FirstUser, IoGid: spec.FirstUser,
	}
}
