package e2e

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestWhatPodsAskFor has a pod for each thing that a pod may ask for and that needs no more than a look at it.
func TestWhatPodsAskFor(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	exec := func(pod, script string) string { t.Helper(); return n.Kubectl("exec", pod, "--", "sh", "-c", script) }
	state := func(p *corev1.Pod) corev1.ContainerStatus { return p.Status.ContainerStatuses[0] }
	asks := []struct {
		name, spec string
		until      func(*corev1.Pod) error
		check      func(t *testing.T, p *corev1.Pod)
	}{
		{"onfailure", `
  restartPolicy: OnFailure
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - {name: c, image: "busybox:1", command: [sh, -c, "test -e /v/again || { touch /v/again; exit 3; }"], volumeMounts: [{name: v, mountPath: /v}]}`,
			harness.Phase(corev1.PodSucceeded), func(t *testing.T, p *corev1.Pod) {
				if s := state(p); s.RestartCount != 1 || s.State.Terminated.Reason != "Completed" {
					t.Errorf("%+v", s)
				}
			}},
		{"rules", `
  restartPolicy: Never
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: c
    image: busybox:1
    restartPolicy: Never
    restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]
    command: [sh, -c, "test -e /v/again && exit 1; touch /v/again; exit 42"]
    volumeMounts: [{name: v, mountPath: /v}]`,
			harness.Phase(corev1.PodFailed), func(t *testing.T, p *corev1.Pod) {
				if s := state(p); s.RestartCount != 1 || s.State.Terminated.ExitCode != 1 {
					t.Errorf("%+v", s)
				}
			}},
		{"deadline", `
  activeDeadlineSeconds: 1
  containers: [{name: c, image: "busybox:1", command: [sleep, "3600"]}]`,
			harness.Phase(corev1.PodFailed), func(t *testing.T, p *corev1.Pod) {
				if p.Status.Reason != "DeadlineExceeded" {
					t.Errorf("%s: %s", p.Status.Reason, p.Status.Message)
				}
			}},
		{"message", `
  restartPolicy: Never
  containers: [{name: c, image: "busybox:1", terminationMessagePolicy: FallbackToLogsOnError, command: [sh, -c, "echo last words; exit 5"]}]`,
			harness.Phase(corev1.PodFailed), func(t *testing.T, p *corev1.Pod) {
				if s := state(p); s.State.Terminated.Message != "last words\n" || s.State.Terminated.ExitCode != 5 {
					t.Errorf("%+v", s.State.Terminated)
				}
			}},
		{"files", `
  securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000, fsGroupChangePolicy: OnRootMismatch, supplementalGroups: [3000], supplementalGroupsPolicy: Strict}
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: c
    image: busybox:1
    command: [sleep, "3600"]
    env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /mine, subPathExpr: "of/$(POD)"}, {name: v, mountPath: /ro, readOnly: true, recursiveReadOnly: IfPossible}]`,
			harness.Ready, func(t *testing.T, _ *corev1.Pod) {
				has(t, "files", exec("files", "id; touch /mine/x; ls -n /v/of/files/x; ls -nd /v; touch /ro/x 2>&1 || echo closed"),
					"uid=1000 gid=1000 groups=1000,2000,3000", " 2000 ", "closed")
			}},
		{"host", `
  hostIPC: true
  hostPID: true
  containers: [{name: c, image: "busybox:1", command: [sleep, "3600"]}]`,
			harness.Ready, func(t *testing.T, _ *corev1.Pod) {
				has(t, "processes", exec("host", "cat /proc/"+fmt.Sprint(n.PID())+"/comm"), "covey")
			}},
		{"hooks", `
  terminationGracePeriodSeconds: 30
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: c
    image: busybox:1
    command: [sh, -c, "trap 'exit 9' QUIT; httpd -p 8080 -h /; while true; do sleep 0.1; done"]
    volumeMounts: [{name: v, mountPath: /v}]
    lifecycle: {postStart: {exec: {command: [touch, /v/started]}}, preStop: {sleep: {seconds: 1}}, stopSignal: SIGQUIT}
    livenessProbe: {exec: {command: [sh, -c, "! test -e /tmp/dead"]}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1, terminationGracePeriodSeconds: 20}
  os: {name: linux}`,
			harness.Ready, func(t *testing.T, _ *corev1.Pod) {
				exec("hooks", "test -e /v/started && touch /tmp/dead")
				p := n.Pod("app=hooks", harness.Restarts(1))
				if end := state(p).LastTerminationState.Terminated; end == nil || end.ExitCode != 9 {
					t.Errorf("the stop signal ended it with %+v", end)
				}
			}},
		{"nocommand", `
  restartPolicy: Always
  containers: [{name: c, image: "busybox:1", command: [/there/is/no/such]}]`,
			func(p *corev1.Pod) error {
				if len(p.Status.ContainerStatuses) == 0 || state(p).RestartCount == 0 {
					return errors.New("it was not started again")
				}
				return nil
			}, func(t *testing.T, p *corev1.Pod) {
				s := state(p)
				if end := s.LastTerminationState.Terminated; end == nil || end.ExitCode != 128 || end.Reason != "StartError" {
					t.Errorf("%+v", s)
				}
			}},
	}
	for _, a := range asks {
		n.Apply(pod(a.name, a.spec))
	}
	for _, a := range asks {
		t.Run(a.name, func(t *testing.T) { a.check(t, n.Pod("app="+a.name, a.until)) })
	}
}
