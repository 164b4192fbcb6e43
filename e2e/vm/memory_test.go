package vm

import (
	"strings"
	"testing"
)

// greedy fills its memory until the node has none left for others, slowly in the end, as the machine is slow; modest has what it asked for.
const greedy = `
apiVersion: v1
kind: Pod
metadata: {name: modest}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "busybox:1", command: [sleep, "100000"], resources: {limits: {memory: 16Mi, cpu: 50m}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox:1
    command: [sh, -c, "while :; do while read name kib rest; do [ $name = MemAvailable: ] && break; done < /proc/meminfo; dd if=/dev/zero bs=1M count=$((kib > 150000 ? 16 : 1)) 2>/dev/null; sleep 0.5; done > /memory/f"]
    volumeMounts: [{name: memory, mountPath: /memory}]
  volumes: [{name: memory, emptyDir: {medium: Memory}}]
`

// late asks for nothing, so that no node takes it which is short of memory.
const late = `
apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "busybox:1", command: [sleep, "100000"]}]
`

// transition is for how long a node says that it is short of memory after it was; long enough for a busy machine to look at it.
const transition = "120s"

const (
	eventsOf = `covey get events -o jsonpath='{range .items[*]}{.involvedObject.name} {.reason}: {.message}{"\n"}{end}'`
	isShort  = `covey get node shop -o jsonpath='{.status.conditions[?(@.type=="MemoryPressure")].status}'`
)

// takeItsMemory has a pod use up the machine's memory: it has to go, and others stay. What comes meanwhile waits until there is some
// again, which showThatItHasMemory checks.
func takeItsMemory(t *testing.T, m *Machine) {
	t.Helper()
	m.Write("/root/greedy.yaml", greedy)
	m.Write("/root/late.yaml", late)
	m.Run("covey apply -f /root/greedy.yaml")
	m.Eventually(isShort, exactly("True"))
	m.Run("covey apply -f /root/late.yaml")
	status := m.Eventually("covey get pod greedy -o jsonpath='{.status.phase} {.status.reason}: {.status.message}'", saying("Evicted"))
	for _, want := range []string{
		"Failed Evicted: The node was low on resource: memory. Threshold quantity: 100Mi, available: ", "Container c was using ", "has larger consumption of memory",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("the pod that took the memory is %q, want %q", status, want)
		}
	}
	m.Eventually(eventsOf, saying(
		"shop EvictionThresholdMet: Attempting to reclaim memory", "shop NodeHasInsufficientMemory", "greedy Evicted: The node was low on resource: memory.",
		"late FailedScheduling: 0/1 nodes are available: 1 node(s) had untolerated taint(s)",
	))
	if modest := m.Run("covey get pod modest -o jsonpath='{.status.phase} {.status.containerStatuses[0].restartCount}'"); strings.TrimSpace(modest) != "Running 0" {
		t.Errorf("the pod that keeps to what it asked for is %q", modest)
	}
}

// showThatItHasMemory waits until the machine takes what it could not take when it had none.
func showThatItHasMemory(m *Machine) {
	m.t.Helper()
	m.Eventually("covey get pod late -o jsonpath='{.status.phase}'", exactly("Running"))
	m.Eventually(isShort, exactly("False"))
	m.Run("covey delete -f /root/greedy.yaml -f /root/late.yaml")
}
