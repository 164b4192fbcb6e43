package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/sandbox"
	"covey.dev/covey/agent/volume"
)

// setUp makes what the pod's containers share, or takes over what an earlier run has made.
func (w *worker) setUp(ctx context.Context, v *view) {
	reason, err := w.trySetUp(ctx, v.pod)
	if err == nil {
		w.isSetUp, w.problem = true, nil
		return
	}
	if ctx.Err() != nil {
		return
	}
	w.problem = w.fail(w.problem, reason, err, time.Second, time.Minute)
	w.event(corev1.EventTypeWarning, reason, err.Error(), "")
}

func (w *worker) trySetUp(ctx context.Context, pod *corev1.Pod) (reason string, err error) {
	if unsupported := sidecar(pod); unsupported != "" {
		return "FailedCreatePodSandBox", fmt.Errorf("init container %s has a restartPolicy: sidecars are not supported yet", unsupported)
	}
	namespaces, err := sandbox.Pin(w.namespaceDir(w.ref.UID), sandbox.Options{
		Hostname: hostname(pod), HostNetwork: pod.Spec.HostNetwork, HostIPC: pod.Spec.HostIPC,
	})
	if err != nil {
		return "FailedCreatePodSandBox", err
	}
	if err := w.attach(pod, namespaces["network"]); err != nil {
		return "FailedCreatePodSandBox", err
	}
	if w.volumes, err = w.podVolumes(pod).Setup(ctx); err != nil {
		return "FailedMount", err
	}
	if err := w.writeFiles(pod); err != nil {
		return "FailedMount", err
	}
	return "", nil
}

func sidecar(pod *corev1.Pod) string {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].RestartPolicy != nil {
			return pod.Spec.InitContainers[i].Name
		}
	}
	return ""
}

func (w *worker) attach(pod *corev1.Pod, ns string) error {
	if pod.Spec.HostNetwork {
		w.podIP = w.NodeAddress
		return nil
	}
	file := filepath.Join(w.podDir(w.ref.UID), "address")
	var known netip.Addr
	if data, err := os.ReadFile(file); err == nil {
		known, _ = netip.ParseAddr(strings.TrimSpace(string(data)))
	}
	addr, err := w.network.Attach(w.ref.UID, ns, known)
	if err != nil {
		return err
	}
	w.podIP = addr.String()
	if addr == known {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o711); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(addr.String()+"\n"), 0o600)
}

func (w *worker) podVolumes(pod *corev1.Pod) *volume.Volumes {
	return &volume.Volumes{
		Dir: filepath.Join(w.podDir(w.ref.UID), "volumes"), Pod: w.withAddress(pod), Source: source{w.upstream},
		Allocatable: w.allocatable(),
	}
}

// withAddress is the pod as it sees itself: with the address that its stored status may not show yet.
func (w *worker) withAddress(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.Status.HostIP, pod.Status.HostIPs = w.NodeAddress, []corev1.HostIP{{IP: w.NodeAddress}}
	pod.Status.PodIP, pod.Status.PodIPs = w.podIP, []corev1.PodIP{{IP: w.podIP}}
	return pod
}

// tearDown removes all that is left of the pod and then, if there is still an object, says so.
func (w *worker) tearDown(ctx context.Context) {
	if err := w.remove(ctx); err != nil {
		if ctx.Err() == nil {
			w.Logger.Warn("the pod could not be removed, trying again", "pod", w.ref, "error", err)
			w.pause(ctx, w.Now().Add(time.Second))
		}
		return
	}
	w.torn = true
}

func (w *worker) remove(ctx context.Context) error {
	all, err := w.runtime.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Pod.UID != w.ref.UID {
			continue
		}
		if err := w.runtime.Remove(ctx, c.ID); err != nil {
			return fmt.Errorf("remove container %s: %w", c.Name, err)
		}
	}
	uid := w.ref.UID
	err = errors.Join(
		w.network.Detach(uid),
		sandbox.Unpin(w.namespaceDir(uid)),
		os.RemoveAll(filepath.Dir(w.namespaceDir(uid))),
		volume.Teardown(filepath.Join(w.podDir(uid), "volumes")),
		removeCgroup(w.cgroup(uid)),
	)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(w.podDir(uid)); err != nil {
		return err
	}
	w.statuses.flush(ctx, w.ref)
	return w.upstream.Remove(ctx, w.ref)
}

// source lets the rooms read ConfigMaps and Secrets.
type source struct{ Upstream }

// IsMissing reports whether the error means that there is no such object.
func (source) IsMissing(err error) bool { return errors.Is(err, ErrNotFound) }

func hostname(pod *corev1.Pod) string {
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-.")
	}
	return name
}
