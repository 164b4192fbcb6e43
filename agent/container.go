package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/env"
)

// configError is the reason of a container whose manifest cannot be carried out as things are.
const configError = "CreateContainerConfigError"

// specHash changes with what a running container must be replaced for: Kubernetes lets only the image change.
func specHash(c *corev1.Container) string {
	sum := sha256.Sum256([]byte(c.Name + "\x00" + c.Image))
	return hex.EncodeToString(sum[:8])
}

// containerID is 64 hex digits, the same whenever it is computed, so that a step that is repeated after a crash meets
// what it did before.
func containerID(uid, name string, attempt int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", uid, name, attempt))
	return hex.EncodeToString(sum[:])
}

// create gets the image and makes the container.
func (w *worker) create(ctx context.Context, v *view, s step) {
	ctx, cancel := w.untilDeleting(ctx)
	defer cancel()
	name := s.container.Name
	path := fieldPath(v.pod, name)
	ref, problem := w.ensureImage(ctx, v.pod, s.container, w.problems[name])
	if problem == nil {
		problem = w.tryCreate(ctx, v, s, ref)
	}
	if ctx.Err() != nil {
		return
	}
	if problem != nil {
		w.problems[name] = problem
		w.event(corev1.EventTypeWarning, "Failed", "Error: "+told(problem), path)
		return
	}
	delete(w.problems, name)
	w.event(corev1.EventTypeNormal, "Created", "Container created", path)
}

// told is what the event of a problem says: about an image just the reason, its other events say the rest.
func told(p *problem) string {
	if imageProblems[p.reason] || p.reason == "InvalidImageName" {
		return p.reason
	}
	return p.message
}

// untilDeleting ends with ctx or when the pod is to end.
func (w *worker) untilDeleting(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-w.deleting:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-stopped }
}

func (w *worker) tryCreate(ctx context.Context, v *view, s step, image string) *problem {
	before := w.problems[s.container.Name]
	spec, err := w.containerSpec(ctx, v, s, image)
	if err != nil {
		return w.fail(before, configError, err, time.Second, time.Minute)
	}
	if err := os.MkdirAll(filepath.Dir(spec.LogPath), 0o755); err != nil {
		return w.fail(before, "CreateContainerError", err, time.Second, time.Minute)
	}
	err = w.runtime.Create(ctx, spec)
	switch {
	case err == nil, errors.Is(err, ErrExists):
		return nil
	case errors.Is(err, ErrInvalidSpec):
		return w.fail(before, configError, err, time.Second, time.Minute)
	}
	return w.fail(before, "CreateContainerError", err, firstBackOff, longestBackOff)
}

func (w *worker) containerSpec(ctx context.Context, v *view, s step, image string) (*ContainerSpec, error) {
	c, pod := s.container, w.withAddress(v.pod)
	environment, err := env.Resolve(ctx, source{w.upstream}, pod, c, w.allocatable())
	if err != nil {
		return nil, err
	}
	security := securityContext(pod, c)
	profile, err := appArmorProfile(w.sys, security)
	if err != nil {
		return nil, err
	}
	processes, err := v.targetProcesses(c.Name)
	if err != nil {
		return nil, err
	}
	namespaces := w.namespaces(pod)
	if processes != "" && !sharesProcesses(pod) {
		namespaces["pid"] = processes
	}
	mounts, err := w.mounts(pod, c, s.attempt, environment)
	if err == nil {
		err = mountPoints(pod, c, mounts)
	}
	if err != nil {
		return nil, err
	}
	return &ContainerSpec{
		ID:                 containerID(w.ref.UID, c.Name, s.attempt),
		Pod:                w.ref,
		Name:               c.Name,
		Attempt:            s.attempt,
		SpecHash:           specHash(c),
		Image:              image,
		Command:            environment.Expand(c.Command),
		Args:               environment.Expand(c.Args),
		Env:                append([]string{"HOSTNAME=" + hostname(pod)}, environment.List()...),
		WorkingDir:         c.WorkingDir,
		TTY:                c.TTY,
		Stdin:              c.Stdin,
		StdinOnce:          c.StdinOnce,
		StopSignal:         stopSignal(c),
		Hostname:           hostname(pod),
		Namespaces:         namespaces,
		FirstUser:          w.firstUser,
		HostPID:            pod.Spec.HostPID,
		HostIPC:            pod.Spec.HostIPC,
		Mounts:             mounts,
		CgroupParent:       w.cgroup(w.ref.UID),
		Resources:          resources(pod, c, w.capacity),
		Security:           security,
		AppArmorProfile:    profile,
		SeccompDir:         w.seccompDir(),
		Devices:            devices(pod),
		SupplementalGroups: groups(pod),
		StrictGroups:       strictGroups(pod),
		LogPath:            w.logPath(c.Name, s.attempt),
	}, nil
}

func (w *worker) namespaces(pod *corev1.Pod) map[string]string {
	dir := w.namespaceDir(w.ref.UID)
	ns := map[string]string{"ipc": filepath.Join(dir, "ipc"), "network": filepath.Join(dir, "net"), "uts": filepath.Join(dir, "uts")}
	if pod.Spec.HostNetwork {
		ns["network"], ns["uts"] = "host", "host"
	}
	if pod.Spec.HostIPC {
		ns["ipc"] = "host"
	}
	if sharesProcesses(pod) {
		ns["pid"] = filepath.Join(dir, "pid")
	}
	if w.firstUser > 0 {
		ns["user"] = filepath.Join(dir, "user")
	}
	return ns
}

func sharesProcesses(pod *corev1.Pod) bool {
	return pod.Spec.ShareProcessNamespace != nil && *pod.Spec.ShareProcessNamespace
}

func (w *worker) logPath(container string, attempt int) string {
	return filepath.Join(w.podDir(w.ref.UID), "logs", container, fmt.Sprintf("%d.log", attempt))
}

// start runs a created container. One that does not start has failed, as if it had ended with exit code 128.
func (w *worker) start(ctx context.Context, s step) {
	name := s.container.Name
	err := w.postStartAfter(ctx, s)
	if err == nil || ctx.Err() != nil {
		return
	}
	w.failed[s.id] = startFailure{message: err.Error(), at: w.Now()}
	w.event(corev1.EventTypeWarning, "Failed", "Error: "+err.Error(), fieldPath(w.currentPod(), name))
}

func (w *worker) postStartAfter(ctx context.Context, s step) error {
	if err := w.runtime.Start(ctx, s.id); err != nil {
		return err
	}
	w.endFenced(ctx, s.id)
	w.event(corev1.EventTypeNormal, "Started", "Container started", fieldPath(w.currentPod(), s.container.Name))
	w.postStart(ctx, s)
	return nil
}

// discard removes a container that came before the last two, its log and its last words.
func (w *worker) discard(ctx context.Context, v *view, id string) {
	for _, list := range v.containers {
		for i := range list {
			if list[i].ID != id {
				continue
			}
			if err := w.runtime.Remove(ctx, id); err != nil {
				w.Logger.Warn("an old container could not be removed", "pod", w.ref, "container", list[i].Name, "error", err)
				w.pause(ctx, w.Now().Add(time.Second))
				return
			}
			removeLogs(list[i].LogPath)
			_ = os.Remove(w.messageFile(list[i].Name, list[i].Attempt))
			w.forget(id)
		}
	}
}

// forget drops what is remembered of a container that is no more.
func (w *worker) forget(id string) {
	delete(w.messages, id)
	delete(w.failed, id)
	delete(w.announced, id)
	delete(w.ends, id)
	w.dropLost(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.verdicts, id)
	delete(w.stopping, id)
}

func removeLogs(path string) {
	rotated, _ := filepath.Glob(path + "*")
	for _, file := range rotated {
		_ = os.Remove(file)
	}
}

func (w *worker) currentPod() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod
}

// isGone says that there is no such pod any more, only what is left of it.
func (w *worker) isGone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

func (w *worker) event(kind, reason, message, path string) {
	w.upstream.Event(w.ref, kind, reason, message, path)
}

func fieldPath(pod *corev1.Pod, container string) string {
	if isEphemeral(pod, container) {
		return "spec.ephemeralContainers{" + container + "}"
	}
	if isInitContainer(pod, container) {
		return "spec.initContainers{" + container + "}"
	}
	return "spec.containers{" + container + "}"
}
