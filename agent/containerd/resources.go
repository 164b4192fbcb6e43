package containerd

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/cgroup"
)

// withResources sets a container's limits.
func (r *Runtime) withResources(res agent.Resources) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		linux := s.Linux.Resources
		linux.CPU = &specs.LinuxCPU{}
		if res.CPUShares > 0 {
			linux.CPU.Shares = &res.CPUShares
		}
		if res.CPUQuota > 0 {
			linux.CPU.Quota, linux.CPU.Period = &res.CPUQuota, &res.CPUPeriod
		}
		if res.MemoryLimit > 0 {
			linux.Memory = &specs.LinuxMemory{Limit: &res.MemoryLimit}
			if swapIsCounted() {
				linux.Memory.Swap = &res.MemoryLimit // memory and swap together: no swap
			}
		}
		if res.PidsLimit > 0 {
			linux.Pids = &specs.LinuxPids{Limit: &res.PidsLimit}
		}
		if score := res.OOMScoreAdj; mayScore(score) {
			s.Process.OOMScoreAdj = &score
		} else {
			r.log.Debug("the kernel's order of killing for memory is left: lowering it is not allowed here", "score", score)
		}
		return nil
	}
}

// swapIsCounted is whether the kernel can limit swap; on cgroup v1 that is often switched off.
var swapIsCounted = sync.OnceValue(func() bool {
	if cgroup.Unified() {
		return true
	}
	_, err := os.Stat(cgroup.Root + "/memory/memory.memsw.limit_in_bytes")
	return err == nil
})

// mayScore is whether a process of ours may be given this score: lowering needs a capability. The shim raises its own by
// one over ours.
func mayScore(score int) bool {
	return score > ownScore()+1 || mayLowerScore()
}

var ownScore = sync.OnceValue(func() int {
	content, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0
	}
	score, _ := strconv.Atoi(strings.TrimSpace(string(content)))
	return score
})

var mayLowerScore = sync.OnceValue(func() bool {
	caps, err := cap.Current()
	if err != nil {
		return false
	}
	for _, c := range caps {
		if c == "CAP_SYS_RESOURCE" {
			return true
		}
	}
	return false
})
