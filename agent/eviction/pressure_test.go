package eviction

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestParse(t *testing.T) {
	defaults, err := Parse("", "", "")
	if err != nil || len(defaults) != 5 || defaults[0] != (Threshold{Signal: MemoryAvailable, Quantity: 100 * mib}) {
		t.Errorf("defaults: %+v, %v", defaults, err)
	}
	got, err := Parse("memory.available<0,nodefs.available<1.5%,imagefs.available<2Gi,nodefs.inodesFree<0%,imagefs.inodesFree<10,pid.available<1k",
		"memory.available<1Gi", "memory.available=1m30s")
	want := []Threshold{
		{Signal: MemoryAvailable, Quantity: 1024 * mib, Grace: 90 * time.Second},
		{Signal: NodeFSAvailable, Share: 0.015},
		{Signal: ImageFSAvailable, Quantity: 2048 * mib},
		{Signal: ImageFSInodesFree, Quantity: 10},
		{Signal: PIDAvailable, Quantity: 1000},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, c := range []struct{ hard, soft, grace, says string }{
		{"memory.available=1", "", "", "want SIGNAL<VALUE"},
		{"memory.free<1", "", "", "there is no signal memory.free"},
		{"memory.available<x", "", "", "want a quantity"},
		{"memory.available<-1", "", "", "want a quantity"},
		{"nodefs.available<100%", "", "", "want a share"},
		{"pid.available<1,pid.available<2", "", "", "named twice"},
		{"", "memory.available<1Gi", "", "eviction-soft-grace-period: memory.available is missing"},
		{"", "", "memory.available=1m", "has no soft threshold"},
		{"", "memory.available<1Gi", "memory.available=soon", "want SIGNAL=TIME"},
	} {
		if _, err := Parse(c.hard, c.soft, c.grace); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q %q %q: %v, want %q", c.hard, c.soft, c.grace, err, c.says)
		}
	}
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// TestMonitor follows a node's memory and disk over some minutes.
func TestMonitor(t *testing.T) {
	thresholds, err := Parse("memory.available<100Mi,nodefs.available<10%,imagefs.available<0", "memory.available<200Mi", "memory.available=1m")
	if err != nil {
		t.Fatal(err)
	}
	m := NewMonitor(thresholds, DefaultTransition)
	for _, step := range []struct {
		at           time.Duration
		memory, disk int64 // MiB left; of the disk percent
		conditions   string
		starved      string
	}{
		{0, 1000, 50, "", ""},
		{10 * time.Second, 150, 50, "MemoryPressure", ""}, // soft, and not for long yet
		{60 * time.Second, 150, 50, "MemoryPressure", ""},
		{70 * time.Second, 150, 50, "MemoryPressure", "memory.available"},
		{80 * time.Second, 50, 50, "MemoryPressure", "memory.available memory.available"},
		{90 * time.Second, 1000, 50, "MemoryPressure", ""}, // the condition stays for a while
		{95 * time.Second, 150, 50, "MemoryPressure", ""},  // the grace begins anew
		{100 * time.Second, 1000, 9, "DiskPressure MemoryPressure", "nodefs.available"},
		{394 * time.Second, 1000, 10, "DiskPressure MemoryPressure", ""},
		{396 * time.Second, 1000, 50, "DiskPressure", ""},
		{400 * time.Second, 1000, 50, "", ""},
	} {
		v := m.Observe(Observation{MemoryAvailable: {step.memory * mib, 4096 * mib}, NodeFSAvailable: {step.disk * 1000, 100_000}, ImageFSAvailable: {0, 1}}, noon.Add(step.at))
		var conditions, starved []string
		for _, c := range v.Conditions {
			conditions = append(conditions, string(c))
		}
		for _, s := range v.Starved {
			starved = append(starved, string(s.Signal))
		}
		if got := strings.Join(conditions, " "); got != step.conditions {
			t.Errorf("after %s: conditions %q, want %q", step.at, got, step.conditions)
		}
		if got := strings.Join(starved, " "); got != step.starved {
			t.Errorf("after %s: starved of %q, want %q", step.at, got, step.starved)
		}
	}
}

func TestNextLook(t *testing.T) {
	thresholds, err := Parse("memory.available<100Mi", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for left, want := range map[int64]time.Duration{ // MiB of memory
		100: 10 * time.Second, 100 + 5*256: 10 * time.Second, 100 + 30*256: 30 * time.Second, 1 << 20: time.Minute,
	} {
		o := Observation{MemoryAvailable: {left * mib, 1 << 40}}
		m := NewMonitor(thresholds, DefaultTransition)
		m.Observe(o, noon)
		if got := m.NextLook(10*time.Second, time.Minute); got != want {
			t.Errorf("with %d MiB left: %s, want %s", left, got, want)
		}
	}
}

// TestANodeThatLosesMemoryFastIsLookedAtSooner follows one whose memory goes at different paces, 10 s between two looks.
func TestANodeThatLosesMemoryFastIsLookedAtSooner(t *testing.T) {
	thresholds, err := Parse("memory.available<100Mi", "memory.available<300Mi", "memory.available=1h")
	if err != nil {
		t.Fatal(err)
	}
	m := NewMonitor(thresholds, DefaultTransition)
	for i, step := range []struct {
		left int64 // MiB
		want time.Duration
	}{
		{1000, 10 * time.Second},
		{900, 10 * time.Second},        // 600 MiB at 10 MiB/s
		{500, 2500 * time.Millisecond}, // 200 MiB at 40 MiB/s
		{600, 10 * time.Second},        // it comes back
		{250, time.Second * 15 / 7},    // below the soft threshold, 150 MiB above the hard one, at 35 MiB/s
		{110, time.Second},             // no sooner
		{109, 10 * time.Second},        // 9 MiB at 0.1 MiB/s
		{50, 10 * time.Second},         // there is no further threshold
		{1 << 40, 10 * time.Second},    // nor are there times that do not fit
		{1<<40 - 1, 10 * time.Second},
	} {
		m.Observe(Observation{MemoryAvailable: {step.left * mib, 1 << 62}}, noon.Add(time.Duration(i)*10*time.Second))
		if got := m.NextLook(10*time.Second, 10*time.Second); (got - step.want).Abs() > time.Microsecond {
			t.Errorf("step %d, with %d MiB left: %s, want %s", i, step.left, got, step.want)
		}
	}
}

// using is a pod of a priority that requests and uses so many MiB of memory, and half of both of disk.
func using(name string, priority int32, requests, uses int64) Candidate {
	pod := &corev1.Pod{}
	pod.Name, pod.Spec.Priority = name, &priority
	pod.Spec.Containers = []corev1.Container{{Name: "c"}}
	if requests > 0 {
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
			corev1.ResourceMemory:           *resource.NewQuantity(requests*mib, resource.BinarySI),
			corev1.ResourceEphemeralStorage: *resource.NewQuantity(requests*mib/2, resource.BinarySI),
		}
	}
	return Candidate{Pod: pod, Usage: &Usage{
		Memory: uses * mib, Processes: uses,
		Containers: map[string]ContainerUsage{"c": {Memory: uses * mib, Writable: Disk{Bytes: uses * mib / 2, Inodes: uses}}},
	}}
}

func TestRank(t *testing.T) {
	unknown := using("unknown", 100, 0, 0)
	unknown.Usage = nil
	pods := []Candidate{
		using("within", 0, 100, 50), using("within-less", 0, 100, 90), using("important", 5, 0, 900), using("best-effort", 0, 0, 30),
		using("burst", 0, 100, 150), using("critical", 2_000_000_000, 0, 999), unknown, using("unimportant", -1, 100, 101),
	}
	for signal, want := range map[Signal][]string{
		MemoryAvailable:  {"unknown", "unimportant", "burst", "best-effort", "important", "within-less", "within"},
		NodeFSAvailable:  {"unknown", "unimportant", "burst", "best-effort", "important", "within-less", "within"},
		NodeFSInodesFree: {"unknown", "unimportant", "burst", "within-less", "within", "best-effort", "important"},
		PIDAvailable:     {"unknown", "unimportant", "burst", "within-less", "within", "best-effort", "important"},
	} {
		var got []string
		for _, c := range Rank(signal, pods) {
			got = append(got, c.Pod.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", signal, got, want)
		}
	}
}

func TestMessage(t *testing.T) {
	memory := Threshold{Signal: MemoryAvailable, Quantity: 100 * mib}
	o := Observation{MemoryAvailable: {50 * mib, 4096 * mib}, NodeFSAvailable: {5 * mib, 100 * mib}}
	for _, c := range []struct {
		t    Threshold
		pod  Candidate
		want string
	}{
		{memory, using("a", 0, 0, 60), "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. " +
			"Container c was using 60Mi, request is 0, has larger consumption of memory. "},
		{memory, using("a", 0, 70, 60), "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "},
		{Threshold{Signal: NodeFSAvailable, Share: 0.1}, using("a", 0, 20, 60), "The node was low on resource: ephemeral-storage. Threshold quantity: 10Mi, available: 5Mi. " +
			"Container c was using 30Mi, request is 10Mi, has larger consumption of ephemeral-storage. "},
	} {
		if got := Message(c.t, o, c.pod); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestRefuse(t *testing.T) {
	const memory, disk = corev1.NodeMemoryPressure, corev1.NodeDiskPressure
	bestEffort, burstable, critical, tolerant := using("a", 0, 0, 0).Pod, using("b", 0, 1, 0).Pod, using("c", 2_000_000_000, 0, 0).Pod, using("d", 0, 0, 0).Pod
	bestEffort.Status.QOSClass, tolerant.Status.QOSClass, burstable.Status.QOSClass = corev1.PodQOSBestEffort, corev1.PodQOSBestEffort, corev1.PodQOSBurstable
	tolerant.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists}}
	for _, c := range []struct {
		pod        *corev1.Pod
		conditions []corev1.NodeConditionType
		want       string
	}{
		{bestEffort, nil, ""},
		{bestEffort, []corev1.NodeConditionType{memory}, "The node had condition: [MemoryPressure]. "},
		{burstable, []corev1.NodeConditionType{memory}, ""},
		{tolerant, []corev1.NodeConditionType{memory}, ""},
		{burstable, []corev1.NodeConditionType{disk}, "The node had condition: [DiskPressure]. "},
		{tolerant, []corev1.NodeConditionType{disk, memory}, "The node had condition: [DiskPressure MemoryPressure]. "},
		{critical, []corev1.NodeConditionType{disk}, ""},
	} {
		if got := Refuse(c.pod, c.conditions); got != c.want {
			t.Errorf("pod %s under %v: %q, want %q", c.pod.Name, c.conditions, got, c.want)
		}
	}
}
