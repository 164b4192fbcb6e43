package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/disk"
	"covey.dev/covey/agent/eviction"
	"covey.dev/covey/agent/fence"
)

// pressureWords are how a node condition is told: as a reason, a message and an event, as users know them from Kubernetes.
type pressureWords struct{ reason, message, event string }

type pressureTold struct{ yes, no pressureWords }

func (p pressureTold) told(holds bool) pressureWords {
	if holds {
		return p.yes
	}
	return p.no
}

var pressures = map[corev1.NodeConditionType]pressureTold{
	corev1.NodeMemoryPressure: {
		yes: pressureWords{"KubeletHasInsufficientMemory", "the node has insufficient memory available", "NodeHasInsufficientMemory"},
		no:  pressureWords{"KubeletHasSufficientMemory", "the node has sufficient memory available", "NodeHasSufficientMemory"},
	},
	corev1.NodeDiskPressure: {
		yes: pressureWords{"KubeletHasDiskPressure", "the node has disk pressure", "NodeHasDiskPressure"},
		no:  pressureWords{"KubeletHasNoDiskPressure", "the node has no disk pressure", "NodeHasNoDiskPressure"},
	},
	corev1.NodePIDPressure: {
		yes: pressureWords{"KubeletHasInsufficientPID", "the node has insufficient PID available", "NodeHasInsufficientPID"},
		no:  pressureWords{"KubeletHasSufficientPID", "the node has sufficient PID available", "NodeHasSufficientPID"},
	},
}

// relieve makes room of what is short: first of what nobody needs, then it evicts one pod. It returns when to look again.
func (k *keeper) relieve(ctx context.Context, t eviction.Threshold, left eviction.Observation) time.Duration {
	soon := min(k.LookEvery, time.Second)
	switch {
	case k.leaving == nil:
	case k.leaving.hasLeft(ctx):
		k.leaving = nil
		return 0 // what is left may have been observed while the pod was there
	case k.Now().Before(k.leavingFor):
		k.hurry(t)
		return soon
	}
	k.leaving = nil
	resource := t.Signal.Resource()
	k.Logger.Warn("the node runs short", "resource", resource, "signal", t.Signal, "available", left[t.Signal].Available)
	k.upstream.NodeEvent(k.NodeName, corev1.EventTypeWarning, "EvictionThresholdMet", fmt.Sprintf("Attempting to reclaim %s", resource))
	if resource == corev1.ResourceEphemeralStorage || resource == "inodes" {
		k.reclaimDisk(ctx)
		now, err := k.Observe()
		if err != nil || !t.MetBy(now) {
			return k.LookEvery
		}
		left = now
	}
	if ctx.Err() != nil {
		return soon
	}
	if !k.evictOne(ctx, t, left) {
		k.Logger.Warn("there is no pod that could be evicted", "resource", resource)
		return k.LookEvery
	}
	return soon
}

// evictOne evicts the pod that has to go first.
func (k *keeper) evictOne(ctx context.Context, t eviction.Threshold, left eviction.Observation) bool {
	workers := map[*corev1.Pod]*worker{}
	var candidates []eviction.Candidate
	for _, w := range k.active(func(w *worker) bool { return !w.isLeaving() && w.hasBegun(ctx) }) {
		use, err := w.usage(ctx, t.Signal.Resource())
		if err != nil {
			k.Logger.Warn("what a pod uses could not be measured", "pod", w.ref, "error", err)
		}
		pod := w.currentPod()
		workers[pod] = w
		candidates = append(candidates, eviction.Candidate{Pod: pod, Usage: use})
	}
	ranked := eviction.Rank(t.Signal, candidates)
	if len(ranked) == 0 {
		return false
	}
	first := ranked[0]
	grace := grace(first.Pod, t)
	k.leaving, k.leavingFor, k.killDue = workers[first.Pod], k.Now().Add(leaveMost), k.Now().Add(grace)
	k.leaving.evict(&evicted{message: eviction.Message(t, left, first), grace: grace, pressure: true})
	return true
}

// hurry kills the processes of the pod that is leaving once its grace is over. The runtime does so too, but has to start a program for it,
// which takes long where no memory is left, and meanwhile the pod takes more.
func (k *keeper) hurry(t eviction.Threshold) {
	if t.Signal == eviction.MemoryAvailable && !k.Now().Before(k.killDue) {
		fence.Kill([]string{k.cgroup(k.leaving.ref.UID)})
	}
}

// grace is the pod's own when the threshold is soft, and next to nothing when it is hard.
func grace(pod *corev1.Pod, t eviction.Threshold) time.Duration {
	if t.Grace == 0 {
		return atOnce
	}
	seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if own := pod.Spec.TerminationGracePeriodSeconds; own != nil {
		seconds = *own
	}
	return max(time.Duration(seconds)*time.Second, atOnce)
}

// reclaimDisk removes what nobody needs: dead containers, images that are not used, parts of images.
func (k *keeper) reclaimDisk(ctx context.Context) {
	k.discardDead(ctx)
	if err := errors.Join(k.registry.Prune(ctx), k.runtime.Prune(ctx)); err != nil && ctx.Err() == nil {
		k.Logger.Warn("what is left of unfinished pushes and pulls was not removed", "error", err)
	}
	k.removeImages(ctx, func() bool { return true }, 0)
}

// discardDead has the workers remove containers that have ended, but for the newest of each in a pod that goes on.
func (k *keeper) discardDead(ctx context.Context) {
	k.thin.Store(true)
	defer k.thin.Store(false)
	k.nudgeAll()
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for k.hasDead(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (k *keeper) hasDead(ctx context.Context) bool {
	all, err := k.runtime.List(ctx)
	if err != nil {
		return false
	}
	newest := map[[2]string]int{}
	for i := range all {
		key := [2]string{all[i].Pod.UID, all[i].Name}
		newest[key] = max(newest[key], all[i].Attempt)
	}
	k.Agent.mu.Lock()
	defer k.Agent.mu.Unlock()
	for i := range all {
		w := k.workers[all[i].Pod.UID]
		if w == nil || all[i].State != StateExited {
			continue
		}
		if w.isOver() || all[i].Attempt < newest[[2]string{all[i].Pod.UID, all[i].Name}] {
			return true
		}
	}
	return false
}

// usage measures what the pod uses of a resource.
func (w *worker) usage(ctx context.Context, resource corev1.ResourceName) (*eviction.Usage, error) {
	if resource == corev1.ResourceEphemeralStorage || resource == "inodes" {
		return w.diskUsage(ctx)
	}
	containers, err := w.containers(ctx)
	if err != nil {
		return nil, err
	}
	use := &eviction.Usage{Containers: map[string]eviction.ContainerUsage{}}
	use.Memory, _ = workingSet(w.cgroup(w.ref.UID))
	use.Processes, _ = cgroupNumber("pids", w.cgroup(w.ref.UID), "pids.current")
	for name, list := range containers {
		memory, _ := workingSet(filepath.Join(w.cgroup(w.ref.UID), list[len(list)-1].ID)) // none where it has ended
		use.Containers[name] = eviction.ContainerUsage{Memory: memory}
	}
	return use, nil
}

// observer looks at what this machine has left.
func observer(nodeDir, imageDir string) func() (eviction.Observation, error) {
	return func() (eviction.Observation, error) {
		left := eviction.Observation{}
		var errs []error
		if total, available, err := memoryLeft(); err == nil {
			left[eviction.MemoryAvailable] = eviction.Level{Available: available, Capacity: total}
		} else {
			errs = append(errs, err)
		}
		errs = append(errs,
			diskLeft(left, nodeDir, eviction.NodeFSAvailable, eviction.NodeFSInodesFree),
			diskLeft(left, imageDir, eviction.ImageFSAvailable, eviction.ImageFSInodesFree))
		if most, running, err := processes(); err == nil {
			left[eviction.PIDAvailable] = eviction.Level{Available: most - running, Capacity: most}
		} else {
			errs = append(errs, err)
		}
		if len(left) == 0 {
			return nil, errors.Join(errs...)
		}
		return left, nil
	}
}

func diskLeft(left eviction.Observation, dir string, bytes, inodes eviction.Signal) error {
	if dir == "" {
		return nil
	}
	space, err := disk.SpaceAt(dir)
	if err != nil {
		return err
	}
	left[bytes] = eviction.Level{Available: space.FreeBytes, Capacity: space.Bytes}
	if space.Inodes > 0 {
		left[inodes] = eviction.Level{Available: space.FreeInodes, Capacity: space.Inodes}
	}
	return nil
}

// memoryLeft is the kernel's own estimate of what can be had without swapping.
func memoryLeft() (total, available int64, err error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch n, _ := strconv.ParseInt(fields[1], 10, 64); fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	if total == 0 {
		return 0, 0, errors.New("/proc/meminfo tells no memory")
	}
	return total, available, nil
}

// processes is how many tasks there can be and how many there are.
func processes() (most, running int64, err error) {
	for _, file := range []string{"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"} {
		n, err := strconv.ParseInt(readLine(file), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", file, err)
		}
		if most == 0 || n < most {
			most = n
		}
	}
	fields := strings.Fields(readLine("/proc/loadavg"))
	if len(fields) < 4 {
		return 0, 0, errors.New("/proc/loadavg tells no processes")
	}
	_, tasks, _ := strings.Cut(fields[3], "/")
	running, err = strconv.ParseInt(tasks, 10, 64)
	return most, running, err
}

// hasBegun says whether the pod may use something of the node: it has had a container. One whose containers have ended, to be started
// again, goes on using memory and disk through its volumes.
func (w *worker) hasBegun(ctx context.Context) bool {
	byName, err := w.containers(ctx)
	return err == nil && len(byName) > 0
}

// hasProcesses says whether something of the pod runs.
func (w *worker) hasProcesses(ctx context.Context) bool {
	byName, err := w.containers(ctx)
	return err == nil && anyRuns(byName)
}

func anyRuns(byName map[string][]Container) bool {
	for _, list := range byName {
		if slices.ContainsFunc(list, func(c Container) bool { return c.State == StateRunning }) {
			return true
		}
	}
	return false
}
