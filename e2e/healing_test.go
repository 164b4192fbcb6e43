package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

func kill(t *testing.T, n *harness.Node, pod *corev1.Pod) {
	t.Helper()
	pids := n.Processes(pod)
	if len(pids) == 0 {
		t.Fatalf("pod %s has no process", pod.Name)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestAKilledProcessIsStartedAgain(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", "echo begun; "+sleeps))
	before := n.Pod("app=web", harness.Ready)
	watch := n.Follow("kubectl", "get", "pods", "-w")
	watch.Until(before.Name, "Running")
	n.Eventually(func() error { return logsSay(n, before.Name, "begun") })
	kill(t, n, before)
	watch.Until(before.Name, "1/1", "Running", "1 (")
	after := n.Pod("app=web", harness.Restarts(1))
	if after.UID != before.UID || after.Status.PodIP != before.Status.PodIP {
		t.Errorf("the pod was replaced: %s %s, before %s %s", after.UID, after.Status.PodIP, before.UID, before.Status.PodIP)
	}
	last := after.Status.ContainerStatuses[0].LastTerminationState.Terminated
	if last == nil || last.ExitCode != 137 || last.Reason != "Error" {
		t.Errorf("last state %v, want exit code 137 and reason Error", last)
	}
	has(t, "logs of the run before", n.Kubectl("logs", "--previous", after.Name), "begun")
	has(t, "events", n.Kubectl("describe", "pod", after.Name), "Last State:", "Exit Code:    137", "Restart Count:  1")
}

func TestAContainerWhoseProbeFailsIsStartedAgain(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("probed", `
  containers:
  - name: c
    image: busybox:1
    command: [sh, -c, "touch /alive; trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    livenessProbe: {exec: {command: [cat, /alive]}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1}`))
	before := n.Pod("app=probed", harness.Ready)
	watch := n.Follow("kubectl", "get", "pods", "-w")
	n.Kubectl("exec", before.Name, "--", "rm", "/alive")
	watch.Until("probed", "1/1", "Running", "1 (")
	n.Pod("app=probed", harness.Restarts(1))
	n.Eventually(func() error {
		events := n.Kubectl("get", "events", "--field-selector", "involvedObject.name=probed")
		return contain(events, "Unhealthy", "Liveness probe failed", "Killing")
	})
}

func TestADeletedPodIsReplaced(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	before := n.Pod("app=web", harness.Ready)
	watch := n.Follow("kubectl", "get", "pods", "-w")
	watch.Until(before.Name)
	n.Kubectl("delete", "pod", before.Name, "--wait=false")
	watch.Until(before.Name, "Terminating")
	watch.UntilFunc("another pod that runs", func(line string) bool {
		return !strings.HasPrefix(line, before.Name) && strings.Contains(line, "1/1")
	})
	n.Kubectl("wait", "--for=delete", "pod/"+before.Name, "--timeout=60s")
	if pids := n.Processes(before); len(pids) > 0 {
		t.Errorf("processes of the deleted pod: %v", pids)
	}
}

// TestCoveyIsKilled is a crash of covey while all goes well: nobody notices.
func TestCoveyIsKilled(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", "i=0; "+`trap 'exit 0' TERM; while :; do i=$((i+1)); echo line $i; sleep 0.05; done`))
	before := n.Pod("app=web", harness.Ready)
	pid := n.Processes(before)[0]
	n.Kill()
	n.Start()
	n.Kubectl("wait", "--for=condition=Ready", "pod/"+before.Name, "--timeout=30s")
	after := n.Pod("app=web", harness.Restarts(0))
	if now := n.Processes(after); after.UID != before.UID || !slices.Contains(now, pid) {
		t.Errorf("process %d of pod %s, before %d of pod %s", now, after.UID, pid, before.UID)
	}
	was, is := before.Status.ContainerStatuses[0], after.Status.ContainerStatuses[0]
	if was.ContainerID != is.ContainerID || !was.State.Running.StartedAt.Equal(&is.State.Running.StartedAt) {
		t.Errorf("container %s since %s, before %s since %s", is.ContainerID, is.State, was.ContainerID, was.State)
	}
	n.Follow("kubectl", "logs", "-f", "--tail=1", after.Name).Until("line") // it is not stuck on what nobody reads
	missing(t, n.Kubectl("logs", after.Name))
	has(t, "exec", n.Kubectl("exec", after.Name, "--", "echo", "still", "here"), "still here")
	kill(t, n, after)
	n.Pod("app=web", harness.Restarts(1))
}

// missing fails the test if counted lines are not all there, in order.
func missing(t *testing.T, logs string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(logs), "\n")
	for i, line := range lines {
		if line != fmt.Sprint("line ", i+1) {
			t.Errorf("line %d of the log is %q", i+1, line)
			return
		}
	}
}

// TestAContainerDiesWhileCoveyIsDown ends with exactly one restart.
func TestAContainerDiesWhileCoveyIsDown(t *testing.T) {
	for name, end := range map[string]func(*harness.Node){"stopped": (*harness.Node).Stop, "killed": (*harness.Node).Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := harness.Start(t)
			n.Apply(shell("web", sleeps))
			before := n.Pod("app=web", harness.Ready)
			end(n)
			if pids := n.Processes(before); len(pids) == 0 {
				t.Fatal("the containers did not outlive covey")
			}
			kill(t, n, before)
			n.Start()
			n.Kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/"+before.Name, "--timeout=60s")
			after := n.Pod("app=web", harness.Restarts(1))
			if last := after.Status.ContainerStatuses[0].LastTerminationState.Terminated; after.UID != before.UID || last == nil || last.ExitCode != 137 {
				t.Errorf("pod %s (before %s), last state %v, want exit code 137", after.UID, before.UID, last)
			}
		})
	}
}

// TestAPodIsDeletedWhileCoveyIsKilled has nothing left of it after the next start.
func TestAPodIsDeletedWhileCoveyIsKilled(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("slow", `
  containers:
  - {name: c, image: "busybox:1", command: [sleep, "3600"]}`)) // process 1 without a handler: it sits the grace period out
	p := n.Pod("app=slow", harness.Ready)
	n.Kubectl("delete", "pod", p.Name, "--wait=false", "--grace-period=5")
	n.Kill()
	n.Start()
	n.Kubectl("wait", "--for=delete", "pod/"+p.Name, "--timeout=60s")
	if pids := n.Processes(p); len(pids) > 0 {
		t.Errorf("processes of the deleted pod: %v", pids)
	}
}

func TestAContainerThatKeepsDyingIsBackedOff(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("dies", "echo dying; exit 3"))
	watch := n.Follow("kubectl", "get", "pods", "-w")
	watch.Until("dies-", "CrashLoopBackOff")
	p := n.Pod("app=dies", func(p *corev1.Pod) error {
		if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].LastTerminationState.Terminated == nil {
			return fmt.Errorf("no last state")
		}
		return nil
	})
	if last := p.Status.ContainerStatuses[0].LastTerminationState.Terminated; last.ExitCode != 3 {
		t.Errorf("last state %v, want exit code 3", last)
	}
	n.Eventually(func() error {
		return contain(n.Kubectl("describe", "pod", p.Name), "BackOff", "Back-off restarting failed container")
	})
}
