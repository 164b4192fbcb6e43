package agent

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/agent/network"
)

const (
	// kubernetesVersion is the release whose API covey speaks; kubectl shows it as the node's version.
	kubernetesVersion = "v1.37.2"
	// DefaultMaxPods is how many pods a node takes, as the kubelet has it.
	DefaultMaxPods = 110
	// MostPods is how many it can be told to take.
	MostPods = 2000
)

// CheckPodCIDR says what is wrong with a pod CIDR that a node proposes.
func CheckPodCIDR(cidr netip.Prefix) error { return network.CheckCIDR(cidr, MostPods) }

// nodeObject describes this machine. a.telling is held.
func (a *Agent) nodeObject(cidr netip.Prefix) *corev1.Node {
	hostName, _ := os.Hostname()
	labels := map[string]string{
		corev1.LabelHostname:   a.NodeName,
		corev1.LabelOSStable:   goruntime.GOOS,
		corev1.LabelArchStable: goruntime.GOARCH,
	}
	for key, value := range a.Labels {
		labels[key] = value
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: a.NodeName, Labels: labels, Annotations: a.annotations()},
		Spec:       corev1.NodeSpec{PodCIDR: cidr.String(), PodCIDRs: []string{cidr.String()}},
		Status: corev1.NodeStatus{
			Capacity:        a.capacity,
			Allocatable:     a.capacity,
			Addresses:       a.nodeAddresses(hostName),
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(a.ListenPort)}},
			NodeInfo:        a.nodeInfo(),
			Conditions:      a.nodeConditions(),
			Images:          a.imageStatus,
		},
	}
}

func (a *Agent) nodeConditions() []corev1.NodeCondition {
	now := metav1.NewTime(a.Now().Truncate(1e9))
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	pressure := func(kind corev1.NodeConditionType) corev1.NodeCondition {
		holds := slices.Contains(a.keeper.pressure(), kind)
		status, words := corev1.ConditionFalse, pressures[kind].told(holds)
		if holds {
			status = corev1.ConditionTrue
		}
		return condition(kind, status, words.reason, words.message)
	}
	return []corev1.NodeCondition{
		pressure(corev1.NodeMemoryPressure),
		pressure(corev1.NodeDiskPressure),
		pressure(corev1.NodePIDPressure),
		condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "covey's agent is ready"),
	}
}

func (a *Agent) nodeInfo() corev1.NodeSystemInfo {
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	return corev1.NodeSystemInfo{
		MachineID:               readLine("/etc/machine-id"),
		SystemUUID:              readLine("/sys/class/dmi/id/product_uuid"),
		BootID:                  readLine("/proc/sys/kernel/random/boot_id"),
		KernelVersion:           unix.ByteSliceToString(uts.Release[:]),
		OSImage:                 osImage(),
		ContainerRuntimeVersion: containerScheme + containerdVersion(),
		KubeletVersion:          kubernetesVersion + "+covey-" + strings.TrimPrefix(a.Version, "v"),
		OperatingSystem:         goruntime.GOOS,
		Architecture:            goruntime.GOARCH,
	}
}

func readLine(file string) string {
	data, _ := os.ReadFile(file)
	return strings.TrimSpace(string(data))
}

func osImage() string {
	data, _ := os.ReadFile("/etc/os-release")
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return goruntime.GOOS
}

// machineCapacity is what there is for pods: CPUs, memory, the disk of dir.
func machineCapacity(dir string, maxPods int) (corev1.ResourceList, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return nil, err
	}
	memory := int64(info.Totalram) * int64(info.Unit)
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(goruntime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memory, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(int64(maxPods), resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(disk.Blocks*uint64(disk.Bsize)), resource.BinarySI),
	}, nil
}

// containerdVersion is that of the containerd built into this program.
func containerdVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/containerd/containerd/v2" {
				return strings.TrimPrefix(dep.Version, "v")
			}
		}
	}
	return "unknown"
}
