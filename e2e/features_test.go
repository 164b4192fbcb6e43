package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

func TestHostPortsAndKernelParameters(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, "--pod-max-pids", "20", "--allowed-unsafe-sysctls", "net.core.somaxconn")
	profiles := filepath.Join(n.DataDir, "seccomp", "mine")
	if err := os.MkdirAll(profiles, 0o700); err != nil {
		t.Fatal(err)
	}
	deny := `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}`
	if err := os.WriteFile(filepath.Join(profiles, "nodirs.json"), []byte(deny), 0o600); err != nil {
		t.Fatal(err)
	}
	published := func(name, more string) string {
		return pod(name, `
  `+more+`
  containers:
  - name: web
    image: busybox:1
    command: [sh, -c, "echo `+name+` > /index.html; httpd -f -p 8080 & while ! test -e /over; do sleep 0.1; done; kill $!"]
    ports: [{containerPort: 8080, hostPort: 4080}]`)
	}
	n.Apply(published("first", `restartPolicy: Never
  securityContext:
    seccompProfile: {type: Localhost, localhostProfile: mine/nodirs.json}
    sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "81"}, {name: kernel.shm_rmid_forced, value: "1"}, {name: net.core.somaxconn, value: "77"}]`))
	first := n.Pod("app=first", harness.Ready)
	gateway := netip.MustParsePrefix(first.Status.PodIP + "/24").Masked().Addr().Next().String()
	greets := func(name string) {
		t.Helper()
		n.Eventually(func() error {
			for _, host := range []string{"127.0.0.1", gateway} {
				if body, err := n.TryGet("http://" + host + ":4080/"); err != nil || body != name+"\n" {
					return fmt.Errorf("at %s: %q %w", host, body, err)
				}
			}
			return nil
		})
	}
	greets("first")
	sysctls := n.Kubectl("exec", "first", "--", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/shm_rmid_forced", "/proc/sys/net/core/somaxconn")
	if sysctls != "81\n1\n77\n" {
		t.Errorf("the kernel parameters are %q", sysctls)
	}
	if r := n.TryKubectl("exec", "first", "--", "mkdir", "/tmp/x"); r.Code == 0 {
		t.Error("the node's seccomp profile has no effect")
	}
	n.Apply(pod("many", `
  containers: [{name: c, image: "busybox:1", command: [sleep, "3600"]}]`)) // which needs no process more, and so does not end when there is none to have
	n.Pod("app=many", harness.Ready)
	forks := "for i in $(seq 30); do sleep 60 >/dev/null 2>&1 & done"
	if r := n.TryKubectl("exec", "many", "--", "sh", "-c", forks); r.Code == 0 || !strings.Contains(r.Stderr, "can't fork") {
		t.Errorf("a pod has more processes than the node allows: %+v", r)
	}

	// A second pod finds the port taken, until the first has ended.
	n.Apply(published("second", ""))
	n.Eventually(func() error {
		return contain(n.Kubectl("describe", "pod", "second"), "didn't have free ports for the requested pod ports")
	})
	n.Kill()
	n.Start()
	greets("first")
	n.Kubectl("exec", "first", "--", "touch", "/over")
	done := n.Pod("app=first", harness.Phase(corev1.PodSucceeded))
	second := n.Pod("app=second", harness.Ready)
	greets("second")
	if done.Status.PodIP != first.Status.PodIP || second.Status.PodIP == "" {
		t.Errorf("the addresses are %s, %s and %s", first.Status.PodIP, done.Status.PodIP, second.Status.PodIP)
	}

	n.Apply(pod("forbidden", `
  securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}]}
  containers: [{name: c, image: "busybox:1", command: [sleep, "3600"]}]`))
	failed := n.Pod("app=forbidden", harness.Phase(corev1.PodFailed))
	if failed.Status.Reason != "SysctlForbidden" || failed.Status.Message != `Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted` {
		t.Errorf("%s: %s", failed.Status.Reason, failed.Status.Message)
	}
}

func TestContainersShareProcesses(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("p", `
  shareProcessNamespace: true
  hostnameOverride: shop.example.org
  containers:
  - {name: a, image: "busybox:1", command: [sleep, "4711"]}
  - {name: b, image: "busybox:1", command: [sh, -c, "trap 'exit 0' TERM; while ! test -e /over; do sleep 0.1; done"]}`))
	n.Pod("app=p", harness.Ready)
	see := func() string { return n.Kubectl("exec", "p", "-c", "b", "--", "sh", "-c", "ps; hostname") }
	has(t, "ps", see(), "covey-init", "sleep 4711", "while !", "shop.example.org")
	n.Kill()
	n.Start()
	n.Pod("app=p", harness.Ready)
	n.Kubectl("exec", "p", "-c", "b", "--", "touch", "/over")
	n.Eventually(func() error {
		r := n.TryKubectl("exec", "p", "-c", "b", "--", "ps")
		if r.Code != 0 {
			return fmt.Errorf("%s", r.Output())
		}
		return contain(r.Stdout, "covey-init", "sleep 4711")
	})
	n.Kubectl("delete", "pod", "p")
}
