package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/probe"
)

// stopSignal is what the manifest says that asks a container to end; empty when that is left to the image.
func stopSignal(c *corev1.Container) string {
	if c.Lifecycle == nil || c.Lifecycle.StopSignal == nil {
		return ""
	}
	return string(*c.Lifecycle.StopSignal)
}

// reaction is how long a killed process may take to be reported.
const reaction = 10 * time.Second

// stopping is a stop of a container that is under way or has been done.
type stopping struct {
	until time.Time // when its grace ends
	// sooner is closed when the pod is to be gone earlier than it was said first.
	sooner chan struct{}
}

func graceEnds(m map[string]*stopping) map[string]time.Time {
	ends := make(map[string]time.Time, len(m))
	for id, s := range m {
		ends[id] = s.until
	}
	return ends
}

// stop begins to stop a running container, or shortens the grace of one that is being stopped; the worker goes on meanwhile.
func (w *worker) stop(ctx context.Context, v *view, s step) {
	c := find(v, s.id)
	begun := &stopping{until: v.now.Add(s.grace), sooner: make(chan struct{})}
	w.mu.Lock()
	before := w.stopping[c.ID]
	w.stopping[c.ID] = begun
	w.mu.Unlock()
	if before != nil {
		close(before.sooner)
	} else {
		reason := s.reason
		if reason == "" {
			reason = "Stopping container " + c.Name
		}
		w.event(corev1.EventTypeNormal, "Killing", reason, fieldPath(v.pod, c.Name))
	}
	var after []string
	if s.inTurn {
		after = v.outlives(c.Name)
	}
	spec := containerOf(v.pod, c.Name)
	if before != nil {
		spec = nil // its hook was run already
	}
	w.tasks.Go(func() {
		defer w.nudge()
		ctx, cancel := begun.shortened(ctx)
		defer cancel()
		if err := w.stopContainer(ctx, spec, c, s.grace, after); err != nil && ctx.Err() == nil {
			w.Logger.Warn("a container could not be stopped, trying again", "pod", w.ref, "container", c.Name, "error", err)
			w.mu.Lock()
			delete(w.stopping, c.ID)
			w.mu.Unlock()
		}
	})
}

// shortened ends with ctx or when another stop takes over.
func (s *stopping) shortened(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.sooner:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-done }
}

func find(v *view, id string) Container {
	for _, list := range v.containers {
		for _, c := range list {
			if c.ID == id {
				return c
			}
		}
	}
	return Container{}
}

// stopContainer runs the preStop hook, waits for those that have to end before, asks the process to end, and after the grace
// period ends it. The hook's time and the wait count.
func (w *worker) stopContainer(ctx context.Context, spec *corev1.Container, c Container, grace time.Duration, after []string) error {
	deadline := time.Now().Add(grace)
	if spec != nil && spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil {
		hookCtx, cancel := context.WithDeadline(ctx, deadline)
		err := w.runHook(hookCtx, spec.Lifecycle.PreStop, spec, c.ID)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.event(corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: "+err.Error(), fieldPath(w.currentPod(), c.Name))
		}
	}
	for _, id := range after {
		w.exits.await(ctx, w.runtime, id, time.Until(deadline))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What took all the time leaves the process a moment to end by itself.
	left := max(time.Until(deadline), 2*time.Second)
	if grace < 2*time.Second {
		left = grace
	}
	for _, try := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{c.StopSignal, left}, {syscall.SIGKILL, reaction}} {
		err := w.runtime.Signal(ctx, c.ID, try.signal)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotRunning) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("send %s: %w", try.signal, err)
		}
		if w.exits.await(ctx, w.runtime, c.ID, try.wait) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err() // covey ends, or another stop takes over: the grace is not up
		}
	}
	return errors.New("it is still running after SIGKILL")
}

// postStart runs the hook beside the container; a hook that fails ends the container, as in Kubernetes.
func (w *worker) postStart(ctx context.Context, s step) {
	if s.container.Lifecycle == nil || s.container.Lifecycle.PostStart == nil {
		return
	}
	w.tasks.Go(func() {
		err := w.runHook(ctx, s.container.Lifecycle.PostStart, s.container, s.id)
		if err == nil || ctx.Err() != nil {
			return
		}
		w.event(corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: "+err.Error(), fieldPath(w.currentPod(), s.container.Name))
		w.condemn(s.id, "FailedPostStartHook", 0)
	})
}

func (w *worker) runHook(ctx context.Context, h *corev1.LifecycleHandler, spec *corev1.Container, id string) error {
	switch {
	case h.Exec != nil:
		code, output, err := w.execIn(ctx, id, h.Exec.Command)
		if err == nil && code != 0 {
			err = fmt.Errorf("command %q exited with %d: %s", h.Exec.Command, code, output)
		}
		return err
	case h.HTTPGet != nil:
		return getHook(ctx, h.HTTPGet, w.target(spec, id))
	case h.Sleep != nil:
		timer := time.NewTimer(time.Duration(h.Sleep.Seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	return nil
}

func getHook(ctx context.Context, a *corev1.HTTPGetAction, t probe.Target) error {
	resp, err := probe.Get(ctx, a, t)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxMessage))
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("HTTP hook answered %s", resp.Status)
	}
	return nil
}

// execIn runs a command in a container and returns the beginning of its output.
func (w *worker) execIn(ctx context.Context, id string, command []string) (int, string, error) {
	out := &head{left: maxMessage}
	code, err := w.runtime.Exec(ctx, id, &ExecSpec{Command: command, Stdout: out, Stderr: out})
	return code, out.String(), err
}

// head keeps the beginning of what is written to it.
type head struct {
	bytes.Buffer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.left -= n
	h.Buffer.Write(p[:n])
	return len(p), nil
}
