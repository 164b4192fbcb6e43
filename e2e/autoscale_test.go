package e2e

import (
	"fmt"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// busy is a service that says how many requests it serves, which the test decides.
const busy = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata:
      labels: {app: busy}
      annotations: {prometheus.io/scrape: "true", prometheus.io/port: "8080"}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: busy
        image: busybox:1
        command: [sh, -c, "mkdir -p /tmp; echo http_requests_in_flight 0 > /tmp/metrics; exec httpd -f -p 8080 -h /tmp"]
        readinessProbe: {httpGet: {path: /metrics, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 10m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: busy
  annotations: {covey.dev/ewma-step: "1", covey.dev/ewma-alpha: "0.2"}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: busy}
  minReplicas: 1
  maxReplicas: 4
  metrics:
  - type: Pods
    pods: {metric: {name: requests_in_flight}, target: {type: AverageValue, averageValue: "10"}}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 2}
`

// TestReplicasFollowTheLoad: a service grows with its load and shrinks with it, and says why.
func TestReplicasFollowTheLoad(t *testing.T) {
	n := harness.Start(t)
	n.Apply(busy)
	n.Kubectl("rollout", "status", "deployment/busy")
	pod := n.Kubectl("get", "pods", "-l", "app=busy", "-o", "name")
	loaded := func(requests int) {
		n.Kubectl("exec", strings.TrimSpace(pod), "--", "sh", "-c", fmt.Sprintf("echo http_requests_in_flight %d > /tmp/metrics", requests))
	}
	replicas := func(want string) {
		t.Helper()
		n.Eventually(func() error {
			if got := n.Kubectl("get", "deployment", "busy", "-o", "jsonpath={.status.readyReplicas}"); got != want {
				return fmt.Errorf("%s replicas are ready, want %s\n%s", got, want, n.Kubectl("get", "hpa"))
			}
			return nil
		})
	}
	watch := n.Follow("kubectl", "get", "hpa", "busy", "-w")
	loaded(25)
	replicas("3")
	watch.Until("Deployment/busy", "/10", "1", "4", "3")
	loaded(1)
	replicas("1")
	watch.Stop()
	said := n.Kubectl("describe", "hpa", "busy")
	for _, want := range []string{"SuccessfulRescale", "New size: 3; reason: pods metric requests_in_flight above target; measured 25, estimated 2", "ValidMetricFound", "New size: 1"} {
		if !strings.Contains(said, want) {
			t.Errorf("describe does not say %q:\n%s", want, said)
		}
	}

	n.Kubectl("delete", "hpa", "busy")
	n.Kubectl("autoscale", "deployment", "busy", "--min=2", "--max=3", "--cpu=90%")
	replicas("2")
	n.Eventually(func() error {
		if out := n.Kubectl("get", "hpa", "busy"); !strings.Contains(out, "%/90%") {
			return fmt.Errorf("no load is shown:\n%s", out)
		}
		return nil
	})
	if r := n.TryKubectl("annotate", "hpa", "busy", "covey.dev/ewma-alpha=2"); r.Code == 0 || !strings.Contains(r.Output(), "must be a number from 0 to 1") {
		t.Errorf("an alpha of 2: %s", r.Output())
	}
}
