package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/probe"
)

// syncProbes starts the probes of containers that run and ends those of containers that do not.
func (w *worker) syncProbes(ctx context.Context, v *view) {
	live := map[string]bool{}
	for _, spec := range serving(v.pod) {
		c := v.latest(spec.Name)
		if c == nil || c.State != StateRunning {
			continue
		}
		if !v.setUp { // an earlier run of covey started it: what was said of it holds until it is taken up
			v.verdicts[c.ID] = w.recorded(spec, c.ID)
			continue
		}
		if _, stopping := v.stopping[c.ID]; stopping {
			continue
		}
		live[c.ID] = true
		if w.probing[c.ID] == nil {
			probeCtx, cancel := context.WithCancel(ctx)
			w.probing[c.ID] = cancel
			w.startProbes(probeCtx, spec, *c)
			v.verdicts[c.ID] = w.verdict(c.ID)
		}
	}
	for _, id := range slices.Collect(maps.Keys(w.probing)) {
		if !live[id] {
			w.probing[id]()
			delete(w.probing, id)
			w.judge(id, func(v *verdict) { v.ready = false })
		}
	}
}

// serving are the containers that have probes: the main ones and the sidecars.
func serving(pod *corev1.Pod) []*corev1.Container {
	var list []*corev1.Container
	for i := range pod.Spec.InitContainers {
		if alwaysRestarts(&pod.Spec.InitContainers[i]) {
			list = append(list, &pod.Spec.InitContainers[i])
		}
	}
	for i := range pod.Spec.Containers {
		list = append(list, &pod.Spec.Containers[i])
	}
	return list
}

// startProbes runs the startup probe first, and the others once it has succeeded.
func (w *worker) startProbes(ctx context.Context, spec *corev1.Container, c Container) {
	began := w.recorded(spec, c.ID)
	w.mu.Lock()
	w.verdicts[c.ID] = began
	w.mu.Unlock()
	t := w.target(spec, c.ID)
	if began.started {
		w.watchContainer(ctx, spec, c, t)
		return
	}
	w.tasks.Go(func() {
		w.loop(ctx, "Startup", spec, spec.StartupProbe, c, t, func(v probe.Verdict) bool {
			if !v.OK {
				w.unhealthy(spec, "Startup", v)
			}
			if v.Settled && v.OK {
				w.judge(c.ID, func(d *verdict) { d.started, d.ready = true, spec.ReadinessProbe == nil })
				w.watchContainer(ctx, spec, c, t)
			} else if v.Settled {
				w.condemn(c.ID, fmt.Sprintf("Container %s failed startup probe, will be restarted", spec.Name), probeGrace(spec.StartupProbe))
			}
			return !v.Settled
		})
	})
}

// recorded is what is known of a container before its first probe: what its stored status says, if an earlier run of covey
// started it, else what a container without an answer yet is taken for.
func (w *worker) recorded(spec *corev1.Container, id string) verdict {
	status := w.currentPod().Status
	for _, s := range slices.Concat(status.InitContainerStatuses, status.ContainerStatuses) {
		if s.ContainerID == containerScheme+id && s.State.Running != nil {
			started := spec.StartupProbe == nil || s.Started != nil && *s.Started
			return verdict{started: started, ready: s.Ready || started && spec.ReadinessProbe == nil}
		}
	}
	return verdict{started: spec.StartupProbe == nil, ready: spec.StartupProbe == nil && spec.ReadinessProbe == nil}
}

func (w *worker) watchContainer(ctx context.Context, spec *corev1.Container, c Container, t probe.Target) {
	if p := spec.LivenessProbe; p != nil {
		w.tasks.Go(func() {
			w.loop(ctx, "Liveness", spec, p, c, t, func(v probe.Verdict) bool {
				if v.OK {
					return true
				}
				w.unhealthy(spec, "Liveness", v)
				if v.Settled {
					w.condemn(c.ID, fmt.Sprintf("Container %s failed liveness probe, will be restarted", spec.Name), probeGrace(p))
				}
				return !v.Settled
			})
		})
	}
	if p := spec.ReadinessProbe; p != nil {
		w.tasks.Go(func() {
			w.loop(ctx, "Readiness", spec, p, c, t, func(v probe.Verdict) bool {
				if !v.OK {
					w.unhealthy(spec, "Readiness", v)
				}
				if v.Settled {
					w.judge(c.ID, func(d *verdict) { d.ready = v.OK })
				}
				return true
			})
		})
	}
}

func (w *worker) unhealthy(spec *corev1.Container, kind string, v probe.Verdict) {
	w.event(corev1.EventTypeWarning, "Unhealthy", kind+" probe failed: "+v.Message, fieldPath(w.currentPod(), spec.Name))
}

// condemn has a container stopped, in that time if it is not 0; what restarts it is its restart policy.
func (w *worker) condemn(id, reason string, grace time.Duration) {
	w.judge(id, func(d *verdict) { d.dead, d.grace = reason, grace })
}

// probeGrace is what a probe gives the container that it fails; 0 when it leaves that to the pod.
func probeGrace(p *corev1.Probe) time.Duration {
	if p.TerminationGracePeriodSeconds == nil {
		return 0
	}
	return time.Duration(*p.TerminationGracePeriodSeconds) * time.Second
}

// judge changes a verdict and wakes the worker if that says something new.
func (w *worker) judge(id string, change func(*verdict)) {
	w.mu.Lock()
	before := w.verdicts[id]
	after := before
	change(&after)
	w.verdicts[id] = after
	w.mu.Unlock()
	if after != before {
		w.nudge()
	}
}

func (w *worker) verdict(id string) verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.verdicts[id]
}

func (w *worker) target(spec *corev1.Container, id string) probe.Target {
	ports := map[string]int32{}
	for _, p := range spec.Ports {
		if p.Name != "" {
			ports[p.Name] = p.ContainerPort
		}
	}
	return probe.Target{Host: w.podAddress, Ports: ports, Exec: func(ctx context.Context, command []string) (int, string, error) {
		return w.execIn(ctx, id, command)
	}}
}

// podAddress is the pod's address now; that of one on the machine's network changes with the machine's.
func (w *worker) podAddress() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.podIP
}

func (w *worker) setPodAddress(ip string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.podIP = ip
}
