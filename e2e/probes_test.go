package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestProbes has each kind of probe decide about readiness, and a startup probe hold the others back.
func TestProbes(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	for name, probe := range map[string]string{
		"http": "httpGet: {path: /ready, port: web}",
		"tcp":  "tcpSocket: {port: 8080}",
		"exec": "exec: {command: [sh, -c, 'netstat -ltn | grep 8080']}",
	} {
		n.Apply(pod(name, fmt.Sprintf(`
  containers:
  - name: c
    image: busybox:1
    ports: [{name: web, containerPort: 8080}]
    command: [sh, -c, "trap 'exit 0' TERM; mkdir -p /www; touch /www/ready; until [ -e /go ]; do sleep 0.1; done; httpd -f -p 8080 -h /www & wait"]
    readinessProbe: {%s, periodSeconds: 1, timeoutSeconds: 30}
    startupProbe: {exec: {command: [cat, /www/ready]}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 30}`, probe)))
	}
	n.Eventually(func() error {
		out := n.Kubectl("get", "events", "--field-selector", "involvedObject.name=http,reason=Unhealthy")
		return contain(out, "Readiness probe failed", "connection refused")
	})
	for _, name := range []string{"http", "tcp", "exec"} {
		p := n.Pod("app="+name, func(p *corev1.Pod) error {
			if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].Started == nil || !*p.Status.ContainerStatuses[0].Started {
				return fmt.Errorf("not started")
			}
			return nil
		})
		if harness.Ready(p) == nil {
			t.Errorf("%s is ready before it listens", name)
		}
		n.Kubectl("exec", name, "--", "touch", "/go")
		n.Pod("app="+name, harness.Restarts(0))
	}
}

func TestALifeWithHooks(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	dir := t.TempDir()
	n.Apply(unhurried(pod("p", fmt.Sprintf(`
  volumes: [{name: v, hostPath: {path: %q}}]
  containers:
  - name: c
    image: busybox:1
    command: [sh, -c, "trap 'echo term >> /v/life; exit 0' TERM; while :; do sleep 0.1; done"]
    volumeMounts: [{name: v, mountPath: /v}]
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo start >> /v/life"]}}
      preStop: {exec: {command: [sh, -c, "echo stop >> /v/life"]}}`, dir))))
	n.Pod("app=p", harness.Ready)
	n.Kubectl("delete", "pod", "p")
	sameFile(t, dir+"/life", "start\nstop\nterm\n")
}

// TestLogsAreRotated writes more than one file holds: what is kept is bounded, and the newest is there.
func TestLogsAreRotated(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("loud", `yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -n 1500000; echo end; `+sleeps))
	p := n.Pod("app=loud", harness.Ready)
	n.Follow("kubectl", "logs", "-f", "--tail=10", p.Name).Until("end")
	if out := n.Kubectl("logs", p.Name, "--tail=2"); out != "0123456789012345678901234567890123456789012345678901234567890123456789\nend\n" {
		t.Errorf("--tail=2: %q", out)
	}
	const most = 70 << 20 // 5 files of 10 MiB, more or less, and the one that is being written
	if size := n.SizeOf("pods"); size > most || size < 10<<20 {
		t.Errorf("the pod's files have %d bytes, want at most %d", size, most)
	}
}
