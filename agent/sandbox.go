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

// failedMount is the reason of a pod whose volumes cannot be made.
const failedMount = "FailedMount"

// setUp makes what the pod's containers share, or takes over what an earlier run has made.
func (w *worker) setUp(ctx context.Context, v *view) {
	reason, err := w.trySetUp(ctx, v)
	if err == nil {
		w.isSetUp, w.problem = !w.isLeaving(), nil
		return
	}
	if ctx.Err() != nil {
		return
	}
	w.problem = w.fail(w.problem, reason, err, time.Second, time.Minute)
	w.event(corev1.EventTypeWarning, reason, err.Error(), "")
}

func (w *worker) trySetUp(ctx context.Context, v *view) (reason string, err error) {
	pod := v.pod
	if len(v.containers) == 0 {
		if refusal := w.admit(pod); refusal != nil {
			w.evict(refusal)
			return "", nil
		}
	}
	if w.before, err = w.beforeReboot(v); err != nil {
		return "FailedCreatePodSandBox", err
	}
	w.lostBefore()
	if w.firstUser, err = w.chooseUsers(pod); err != nil {
		return "FailedCreatePodSandBox", err
	}
	namespaces, err := sandbox.Pin(w.namespaceDir(w.ref.UID), sandbox.Options{
		Hostname: hostname(pod), HostNetwork: pod.Spec.HostNetwork, HostIPC: pod.Spec.HostIPC, ShareProcesses: sharesProcesses(pod),
		FirstUser: w.firstUser,
	})
	if err != nil {
		return "FailedCreatePodSandBox", err
	}
	if err := w.attach(pod, namespaces["network"]); err != nil {
		return "FailedCreatePodSandBox", err
	}
	if err := w.settle(pod); err != nil {
		return "FailedCreatePodSandBox", err
	}
	w.volumes, err = w.podVolumes(pod).Setup(ctx)
	switch {
	case err != nil && !anyRuns(v.containers):
		return failedMount, err
	case err != nil:
		// What an earlier run of covey left running has its volumes, and goes on with them. The refresh says what is wrong.
		w.stale = true
	}
	if err := w.writeFiles(pod); err != nil {
		return failedMount, err
	}
	return "", nil
}

// settle sets what the kernel keeps for the pod as a whole.
func (w *worker) settle(pod *corev1.Pod) error {
	if w.PodMaxPids > 0 {
		if err := limitPids(cgroupRoot, w.cgroup(w.ref.UID), w.PodMaxPids); err != nil {
			return err
		}
	}
	if sc := pod.Spec.SecurityContext; sc != nil && len(sc.Sysctls) > 0 {
		values := map[string]string{}
		for _, s := range sc.Sysctls {
			values[normalSysctl(s.Name)] = s.Value
		}
		return sandbox.SetSysctls(w.namespaceDir(w.ref.UID), values)
	}
	return nil
}

// beforeReboot tells which containers are of the time before the machine was rebooted. What is below the state directory
// is gone then, so the first setup afterwards finds no list, and notes those that are there.
func (w *worker) beforeReboot(v *view) (map[string]bool, error) {
	file := filepath.Join(w.namespacesDir(), w.ref.UID, "before")
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		data = []byte(strings.Join(v.ended(), "\n"))
		err = writeWhole(file, data)
	}
	if err != nil {
		return nil, err
	}
	before := map[string]bool{}
	for id := range strings.FieldsSeq(string(data)) {
		before[id] = true
	}
	return before, nil
}

// ended are the IDs of the containers that do not run.
func (v *view) ended() []string {
	var ids []string
	for _, list := range v.containers {
		for i := range list {
			if list[i].State != StateRunning {
				ids = append(ids, list[i].ID)
			}
		}
	}
	return ids
}

// writeWhole writes a file so that it is there whole or not at all.
func writeWhole(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func (w *worker) attach(pod *corev1.Pod, ns string) error {
	if pod.Spec.HostNetwork {
		w.setPodAddress(w.address())
		return nil
	}
	claimed, _, err := w.claimAddress()
	if err != nil {
		return err
	}
	addr, err := w.network.Attach(w.ref.UID, ns, claimed)
	if err != nil {
		return err
	}
	if addr != claimed { // it was attached before, and what was noted is lost
		if err := w.noteAddress(addr); err != nil {
			return err
		}
	}
	w.setPodAddress(addr.String())
	ports, err := hostPorts(pod)
	if err == nil && len(ports) > 0 {
		err = w.network.Publish(w.ref.UID, addr, ports)
	}
	return err
}

// claimAddress chooses the pod's address, and notes it before the pod has it: after a crash in between, a new pod would get it too.
// It returns how many addresses of the node come before it.
func (w *worker) claimAddress() (addr netip.Addr, index uint32, err error) {
	known := w.knownAddress(w.ref.UID)
	addr, index, err = w.network.Claim(w.ref.UID, known)
	if err == nil && addr != known {
		err = w.noteAddress(addr)
	}
	return addr, index, err
}

func (w *worker) noteAddress(addr netip.Addr) error {
	return writeWhole(w.addressFile(w.ref.UID), []byte(addr.String()+"\n"))
}

// disconnect gives the pod's address and published ports back.
func (w *worker) disconnect() error {
	if err := w.network.Detach(w.ref.UID); err != nil {
		return err
	}
	if err := os.Remove(w.addressFile(w.ref.UID)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// addressFile keeps a pod's address over a reboot of the machine.
func (c *Config) addressFile(uid string) string { return filepath.Join(c.podDir(uid), "address") }

// knownAddress is what a pod's address was; not valid if it has had none.
func (c *Config) knownAddress(uid string) netip.Addr {
	data, err := os.ReadFile(c.addressFile(uid))
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(strings.TrimSpace(string(data)))
	return addr
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
	host := w.address()
	pod.Status.HostIP, pod.Status.HostIPs = host, []corev1.HostIP{{IP: host}}
	ip := w.podAddress()
	pod.Status.PodIP, pod.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	return pod
}

// tearDown removes all that is left of the pod and then, if there is still an object, says so.
func (w *worker) tearDown(ctx context.Context) {
	if err := w.remove(ctx); err != nil {
		if ctx.Err() == nil {
			w.Logger.Warn("the pod could not be removed, trying again", "pod", w.ref, "error", err)
			if message := "error killing pod: " + err.Error(); message != w.stuck { // once, and not every second
				w.stuck = message
				w.event(corev1.EventTypeWarning, "FailedKillPod", message, "")
			}
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
		removeCgroup(w.cgroup(uid)),
	)
	if err != nil {
		return err
	}
	// Last, because it is by its directory that a pod is found again after a crash.
	if err := volume.Teardown(w.podDir(uid)); err != nil {
		return err
	}
	if w.guard != nil {
		w.guard.Forget(uid)
	}
	w.statuses.flush(ctx, w.ref)
	return w.upstream.Remove(ctx, w.ref)
}

// source lets the rooms read ConfigMaps and Secrets.
type source struct{ Upstream }

// IsMissing reports whether the error means that there is no such object.
func (source) IsMissing(err error) bool { return errors.Is(err, ErrNotFound) }

func hostname(pod *corev1.Pod) string {
	if pod.Spec.HostnameOverride != nil {
		return *pod.Spec.HostnameOverride
	}
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-.")
	}
	return name
}
