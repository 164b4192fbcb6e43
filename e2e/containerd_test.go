package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"covey.dev/covey/e2e/harness"

	containerd "github.com/containerd/containerd/v2/client"
)

// TestContainerdShowsThePods asks containerd's own socket, as nerdctl and ctr do. The labels are those that nerdctl reads.
func TestContainerdShowsThePods(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	p := n.Pod("app=web", harness.Ready)
	client, err := containerd.New(filepath.Join(n.StateDir, "containerd.sock"), containerd.WithDefaultNamespace("covey"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	containers, err := client.Containers(ctx)
	if err != nil || len(containers) != 1 {
		t.Fatalf("containers: %v %v, want one", containers, err)
	}
	c := containers[0]
	if id := strings.TrimPrefix(p.Status.ContainerStatuses[0].ContainerID, "containerd://"); c.ID() != id {
		t.Errorf("container %s, the pod says %s", c.ID(), id)
	}
	labels, err := c.Labels(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"nerdctl/name":                 "default_" + p.Name + "_c_0",
		"nerdctl/namespace":            "covey",
		"nerdctl/hostname":             p.Name,
		"io.kubernetes.pod.namespace":  "default",
		"io.kubernetes.pod.name":       p.Name,
		"io.kubernetes.pod.uid":        string(p.UID),
		"io.kubernetes.container.name": "c",
	} {
		if labels[key] != want {
			t.Errorf("label %s is %q, want %q", key, labels[key], want)
		}
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := task.Status(ctx); err != nil || status.Status != containerd.Running {
		t.Errorf("task: %v %v", status, err)
	}
	if pid := n.Processes(p)[0]; int(task.Pid()) != pid {
		t.Errorf("process %d, containerd says %d", pid, task.Pid())
	}
	image, err := c.Image(ctx)
	if err != nil || image.Name() != "docker.io/library/busybox:1" {
		t.Errorf("image %v %v", image, err)
	}
}

// TestAShimIsKilled takes a container's supervisor away: the container is replaced, in the same pod.
func TestAShimIsKilled(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	p := n.Pod("app=web", harness.Ready)
	shims := n.Shims()
	if len(shims) != 1 {
		t.Fatalf("shims: %v, want one", shims)
	}
	before := n.Processes(p)
	if err := syscall.Kill(shims[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.Kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/"+p.Name, "--timeout=60s")
	after := n.Pod("app=web", harness.Restarts(1))
	if after.UID != p.UID {
		t.Errorf("the pod was replaced: %s, before %s", after.UID, p.UID)
	}
	n.Eventually(func() error {
		for _, pid := range n.Processes(after) {
			for _, old := range before {
				if pid == old {
					return fmt.Errorf("process %d of the container before is still there", pid)
				}
			}
		}
		return nil
	})
}

// TestAPowerCut ends all processes and mounts, and empties the state directory, as a reboot does: the pod runs again. The
// machine's boot ID stays the same here; the tests of the runtime change that too.
func TestAPowerCut(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", "echo up; "+sleeps))
	before := n.Pod("app=web", harness.Ready)
	n.PowerCut()
	n.Start()
	n.Eventually(func() error {
		if pids := n.Processes(before); len(pids) != 2 {
			return fmt.Errorf("processes of the pod: %v, want the shell and its sleep", pids)
		}
		return nil
	})
	after := n.Pod("app=web", harness.Ready)
	if after.UID != before.UID || after.Status.PodIP != before.Status.PodIP {
		t.Errorf("the pod was replaced: %s %s, before %s %s", after.UID, after.Status.PodIP, before.UID, before.Status.PodIP)
	}
	n.Eventually(func() error { return logsSay(n, after.Name, "up") })
	has(t, "exec", n.Kubectl("exec", after.Name, "--", "hostname"), after.Name)
}
