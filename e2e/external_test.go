package e2e

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestTheMachinesOwnContainerd runs pods on a containerd that covey does not run, of the version that Debian has, and has
// first covey and then containerd killed below them.
func TestTheMachinesOwnContainerd(t *testing.T) {
	t.Parallel()
	c := harness.StartContainerd(t)
	n := harness.Start(t, "--containerd", c.Address)
	n.Apply(shell("web", "echo up; "+sleeps))
	n.Apply(pod("short", `
  restartPolicy: Never
  containers: [{name: c, image: "busybox:1", command: [sh, -c, "while [ ! -e /tmp/end ]; do sleep 0.1; done; echo over; exit 7"]}]`))
	web, short := n.Pod("app=web", harness.Ready), n.Pod("app=short", harness.Ready)
	n.Eventually(func() error { return logsSay(n, web.Name, "up") })
	has(t, "exec", n.Kubectl("exec", web.Name, "--", "hostname"), web.Name)
	inContainerd(t, c.Address, web, short)

	before := n.Processes(web)
	n.Kubectl("exec", "short", "--", "sh", "-c", "(sleep 1; touch /tmp/end) >/dev/null 2>&1 &")
	n.Kill()
	n.Start()
	ended := n.Pod("app=short", harness.Phase(corev1.PodFailed))
	if code := ended.Status.ContainerStatuses[0].State.Terminated.ExitCode; code != 7 {
		t.Errorf("a container that ended while covey was away has exit code %d, want 7", code)
	}
	has(t, "logs", n.Kubectl("logs", "short"), "over")
	n.Pod("app=web", harness.Restarts(0))
	if after := n.Processes(web); !slices.Equal(after, before) {
		t.Errorf("processes %v, before covey was killed %v", after, before)
	}

	c.Kill()
	c.Start()
	if after := n.Processes(web); !slices.Equal(after, before) {
		t.Errorf("processes %v, before containerd was killed %v", after, before)
	}
	if err := syscall.Kill(before[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.Pod("app=web", harness.Restarts(1))
	n.Kubectl("delete", "deployment/web", "pod/short")
	n.Kubectl("wait", "--for=delete", "pod", "--all", "--timeout=60s")
	inContainerd(t, c.Address)
}

// inContainerd checks that containerd has these pods' containers in covey's namespace, and no others.
func inContainerd(t *testing.T, address string, pods ...*corev1.Pod) {
	t.Helper()
	client, err := containerd.New(address, containerd.WithDefaultNamespace("covey"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	list, err := client.Containers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var have, want []string
	for _, c := range list {
		have = append(have, c.ID())
	}
	for _, p := range pods {
		want = append(want, strings.TrimPrefix(p.Status.ContainerStatuses[0].ContainerID, "containerd://"))
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("containers %v, want %v", have, want)
	}
}
