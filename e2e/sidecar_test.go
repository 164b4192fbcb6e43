package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

func TestSidecars(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	dir := filepath.Join(n.Dir, "host")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	n.Apply(unhurried(pod("job", `
  restartPolicy: Never
  volumes: [{name: host, hostPath: {path: `+dir+`}}]
  initContainers:
  - name: proxy
    image: busybox:1
    restartPolicy: Always
    command: [sh, -c, "trap 'echo proxy ends >> /host/order; exit 0' TERM; echo proxy begins >> /host/order; sleep 1; touch /tmp/up; while true; do sleep 0.1; done"]
    startupProbe: {exec: {command: [cat, /tmp/up]}, periodSeconds: 1, timeoutSeconds: 30}
    lifecycle: {preStop: {exec: {command: [sh, -c, "echo proxy is told >> /host/told"]}}}
    volumeMounts: [{name: host, mountPath: /host}]
  - name: once
    image: busybox:1
    command: [sh, -c, "echo once >> /host/order"]
    volumeMounts: [{name: host, mountPath: /host}]
  - name: logger
    image: busybox:1
    restartPolicy: Always
    command: [sh, -c, "trap 'echo logger ends >> /host/order; exit 1' TERM; echo logger begins >> /host/order; while true; do sleep 0.1; done"]
    volumeMounts: [{name: host, mountPath: /host}]
  containers:
  - name: main
    image: busybox:1
    command: [sh, -c, "echo main begins >> /host/order; while ! test -e /host/go; do sleep 0.1; done; echo main ends >> /host/order"]
    volumeMounts: [{name: host, mountPath: /host}]`)))
	n.Pod("app=job", harness.Ready)
	has(t, "kubectl get", n.Kubectl("get", "pod", "job"), "3/3", "Running")
	n.Kill()
	n.Start()
	p := n.Pod("app=job", harness.Ready)
	if p.Status.InitContainerStatuses[0].RestartCount > 0 {
		t.Errorf("covey's restart restarted a sidecar: %+v", p.Status.InitContainerStatuses[0])
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.Pod("app=job", harness.Phase(corev1.PodSucceeded))
	got, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"proxy begins", "once", "logger begins", "main begins", "main ends", "logger ends", "proxy ends", ""}
	if order := strings.Join(want, "\n"); string(got) != order {
		t.Errorf("the containers went\n%s\nwant\n%s", got, order)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "told")); err != nil || string(got) != "proxy is told\n" {
		t.Errorf("the preStop hook left %q, %v", got, err)
	}
	has(t, "kubectl get", n.Kubectl("get", "pod", "job"), "0/3", "Completed")
}
