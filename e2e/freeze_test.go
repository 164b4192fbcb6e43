package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/e2e/harness"
)

// TestAFrozenNodeGoesOn stops covey's process for longer than its probes, its lease and its clients have patience, and lets it go
// on: no container is started again for it, a watch goes on, and writes are taken.
func TestAFrozenNodeGoesOn(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("web", `  containers:
  - name: c
    image: busybox:1
    command: [sleep, "100000"]
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1}
    readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1}`))
	pod := n.Pod("app=web", harness.Ready)
	pid := n.Processes(pod)[0]
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	watch, err := n.Clients.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()

	n.Freeze(22 * time.Second)

	n.Kubectl("create", "configmap", "after", "--from-literal=the=frost")
	seen := false
	for ev := range watch.ResultChan() {
		m, ok := ev.Object.(metav1.Object)
		if seen = ok && m.GetName() == "after"; seen {
			break
		}
	}
	if !seen {
		t.Error("the watch ended, or showed nothing")
	}
	n.Eventually(func() error {
		p := n.Pod("app=web", harness.Ready)
		if p.Name != pod.Name || p.Status.ContainerStatuses[0].RestartCount != 0 {
			return fmt.Errorf("%s with %d restarts, want %s with none", p.Name, p.Status.ContainerStatuses[0].RestartCount, pod.Name)
		}
		return nil
	})
	if now := n.Processes(pod); len(now) == 0 || now[0] != pid {
		t.Errorf("the container's processes are %v, was %d", now, pid)
	}
}
