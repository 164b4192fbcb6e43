package containerd

import (
	"encoding/json"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/nerdctl/v2/pkg/api/types/cri"
	nerdctl "github.com/containerd/nerdctl/v2/pkg/labels"
	"github.com/containerd/nerdctl/v2/pkg/labels/k8slabels"
	"github.com/containerd/typeurl/v2"
	"github.com/moby/sys/signal"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/registry"
)

// Labels of covey's own on a containerd container. What they hold comes back in agent.Container.
const (
	labelAttempt  = "covey.dev/attempt"
	labelSpecHash = "covey.dev/spec-hash"
	labelLogPath  = "covey.dev/log-path"
	labelImageID  = "covey.dev/image-id"
	labelBoot     = "covey.dev/boot-id"
	labelShim     = "covey.dev/shim"
	labelCgroup   = "covey.dev/cgroup"
	labelExit     = "covey.dev/exit"
	labelStop     = client.StopSignalLabel
	labelPodUID   = "io.kubernetes.pod.uid"
)

// Labels on an image. The first is the one by which containerd's own Kubernetes plugin knows pinned images.
const (
	labelPinned = "io.cri-containerd.pinned"
	labelLoaded = registry.LabelLoaded
)

// exit is what labelExit holds, so that how a container ended is known after the machine was rebooted.
type exit struct {
	StartedAt, FinishedAt time.Time
	Code                  int32
	OOMKilled             bool `json:",omitempty"`

	pid int // of the process that ended; 0 when that is not known
}

// labelsFor gives a new container's labels: nerdctl's, Kubernetes' and our own.
func labelsFor(spec *agent.ContainerSpec, imageID, stop, shimGroup, cgroup, boot string) map[string]string {
	return map[string]string{
		nerdctl.Name:            fmt.Sprintf("%s_%s_%s_%d", spec.Pod.Namespace, spec.Pod.Name, spec.Name, spec.Attempt),
		nerdctl.Namespace:       Namespace,
		nerdctl.Hostname:        spec.Hostname,
		k8slabels.PodNamespace:  spec.Pod.Namespace,
		k8slabels.PodName:       spec.Pod.Name,
		k8slabels.ContainerName: spec.Name,
		k8slabels.ContainerType: "container", // has nerdctl read the log as CRI's
		labelPodUID:             spec.Pod.UID,
		labelAttempt:            strconv.Itoa(spec.Attempt),
		labelSpecHash:           spec.SpecHash,
		labelLogPath:            spec.LogPath,
		labelImageID:            imageID,
		labelBoot:               boot,
		labelShim:               shimGroup,
		labelCgroup:             cgroup,
		labelStop:               stop,
	}
}

// recordFrom makes the record of a container that containerd knows. Its state is left to the caller.
func recordFrom(c containers.Container) *record {
	l := c.Labels
	attempt, _ := strconv.Atoi(l[labelAttempt])
	return &record{
		shimGroup: l[labelShim],
		cgroup:    l[labelCgroup],
		boot:      l[labelBoot],
		Container: agent.Container{
			ID:         c.ID,
			Pod:        agent.PodRef{Namespace: l[k8slabels.PodNamespace], Name: l[k8slabels.PodName], UID: l[labelPodUID]},
			Name:       l[k8slabels.ContainerName],
			Attempt:    attempt,
			SpecHash:   l[labelSpecHash],
			Image:      c.Image,
			ImageID:    l[labelImageID],
			LogPath:    l[labelLogPath],
			StopSignal: stopSignal(l[labelStop]),
			State:      agent.StateCreated,
			CreatedAt:  c.CreatedAt,
		},
	}
}

// stopSignal reads a signal's name or number; what is none, or nothing, is SIGTERM.
func stopSignal(name string) syscall.Signal {
	if sig, err := signal.ParseSignal(name); err == nil {
		return sig
	}
	return syscall.SIGTERM
}

// ours is whether covey made the container, rather than somebody with nerdctl in covey's namespace.
func ours(c containers.Container) bool {
	_, ok := c.Labels[labelSpecHash]
	return ok
}

func (e exit) String() string {
	b, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	return string(b)
}

func parseExit(s string) (exit, bool) {
	var e exit
	if s == "" || json.Unmarshal([]byte(s), &e) != nil {
		return exit{}, false
	}
	return e, true
}

// nerdctl reads the log's path from the extension that Kubernetes' own integration of containerd has.
func init() {
	typeurl.Register(&cri.ContainerMetadata{}, "covey.dev/covey", "ContainerMetadata")
}
