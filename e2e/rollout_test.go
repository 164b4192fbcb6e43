package e2e

import (
	"fmt"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// gated is a deployment whose pods are ready once they have a file /ready.
func gated(name, strategy string, replicas int, version string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[3]d
  strategy: %[2]s
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s, version: %[4]q}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox:1
        command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
        readinessProbe: {exec: {command: [cat, /ready]}, periodSeconds: 1, timeoutSeconds: 30, successThreshold: 1}
`, name, strategy, replicas, version)
}

func makeReady(t *testing.T, n *harness.Node, selector string) {
	t.Helper()
	n.Eventually(func() error {
		pods, err := n.Pods(selector)
		if err != nil {
			return err
		}
		if len(pods) == 0 {
			return fmt.Errorf("no pods of %s", selector)
		}
		for _, p := range pods {
			if r := n.TryKubectl("exec", p.Name, "--", "touch", "/ready"); r.Code != 0 {
				return fmt.Errorf("%s: %s", p.Name, r.Output())
			}
		}
		return nil
	})
}

// TestReadinessGatesARollout holds a rolling update at its first pod until that is ready.
func TestReadinessGatesARollout(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	strategy := "{type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}"
	n.Apply(gated("web", strategy, 2, "1"))
	n.Eventually(func() error {
		if out := n.Kubectl("get", "pods", "-l", "version=1"); strings.Count(out, "0/1") != 2 || strings.Count(out, "Running") != 2 {
			return fmt.Errorf("want two pods that run and are not ready:\n%s", out)
		}
		return nil
	})
	if r := n.TryKubectl("rollout", "status", "deployment/web", "--timeout=1s"); r.Code == 0 {
		t.Errorf("rolled out without a ready pod: %s", r.Output())
	}
	makeReady(t, n, "version=1")
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")

	n.Apply(gated("web", strategy, 2, "2"))
	watch := n.Follow("kubectl", "rollout", "status", "deployment/web")
	watch.Until("1 out of 2 new replicas have been updated")
	n.Kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod", "-l", "version=2", "--timeout=60s")
	if out := n.Kubectl("get", "deployment", "web"); !strings.Contains(out, "2/2") {
		t.Errorf("the old pods do not serve while the new one is not ready:\n%s", out)
	}
	if pods, err := n.Pods("app=web"); err != nil || len(pods) != 3 {
		t.Errorf("%d pods (%v), want 3: two old and maxSurge 1", len(pods), err)
	}
	makeReady(t, n, "version=2")
	watch.Until("1 old replicas are pending termination")
	n.Eventually(func() error {
		makeReady(t, n, "version=2")
		pods, err := n.Pods("version=1")
		if err == nil && len(pods) > 0 {
			err = fmt.Errorf("%d old pods", len(pods))
		}
		return err
	})
	watch.Until("successfully rolled out")
}

// TestRecreateNeverRunsTwoVersions stops all old pods before it starts the first new one.
func TestRecreateNeverRunsTwoVersions(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(unhurried(strings.Replace(shell("web", sleeps), "spec:", "spec:\n  replicas: 2\n  strategy: {type: Recreate}", 1)))
	n.Kubectl("rollout", "status", "deployment/web")
	watch := n.Follow("kubectl", "get", "pods", "-w", "--no-headers")
	watch.Until("Running")
	old, err := n.Pods("app=web")
	if err != nil {
		t.Fatal(err)
	}
	n.Kubectl("set", "env", "deployment/web", "A=b")
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	watch.UntilFunc("a new pod that runs", func(line string) bool {
		return strings.Contains(line, "1/1") && !strings.HasPrefix(line, old[0].Name) && !strings.HasPrefix(line, old[1].Name)
	})
	started, err := n.Pods("app=web")
	if err != nil || len(started) != 2 {
		t.Fatalf("%d pods (%v), want 2", len(started), err)
	}
	// The watch shows the order: no old pod runs after a new one began. One that has ended may be listed a little longer.
	seen := strings.Split(watch.Seen(), "\n")
	begun := false
	for _, line := range seen {
		isOld := strings.HasPrefix(line, old[0].Name) || strings.HasPrefix(line, old[1].Name)
		if begun && isOld && !strings.Contains(line, "Completed") && !strings.Contains(line, "Error") {
			t.Errorf("an old pod runs after a new one began:\n%s", watch.Seen())
			break
		}
		begun = begun || !isOld
	}
}

func TestARolloutThatIsStuckSaysSo(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(strings.Replace(gated("web", "{}", 1, "1"), "spec:", "spec:\n  progressDeadlineSeconds: 2", 1))
	r := n.TryKubectl("rollout", "status", "deployment/web", "--timeout=30s")
	if r.Code != 1 || !strings.Contains(r.Stderr, "exceeded its progress deadline") {
		t.Errorf("rollout status: %+v", r)
	}
	has(t, "describe", n.Kubectl("describe", "deployment", "web"), "ProgressDeadlineExceeded")
}
