package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestAReadOnlyDiskRefusesWrites has the file system under a node's data fail, which makes it read-only: writes are refused and say why,
// reads and pods go on. After it was mounted again everything is there.
func TestAReadOnlyDiskRefusesWrites(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.OnFragileDisk(300 << 20)
	n.Start()
	n.LoadImages()
	n.Apply(shell("web", sleeps))
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	pid := n.Processes(n.Pod("app=web", harness.Ready))[0]
	n.Kubectl("create", "configmap", "before", "--from-literal=is=here")

	n.FailDisk()
	r := n.TryKubectl("create", "configmap", "during", "--from-literal=is=not", "--request-timeout=20s")
	if r.Code == 0 || !strings.Contains(r.Output(), "read-only file system") {
		t.Errorf("a write to a read-only disk: %s", r.Output())
	}
	has(t, "reads", n.Kubectl("get", "configmaps"), "before")
	web := n.Pod("app=web", harness.Ready)
	has(t, "exec", n.Kubectl("exec", web.Name, "--", "hostname"), web.Name)
	if now := n.Processes(web); len(now) == 0 || now[0] != pid {
		t.Errorf("the container's processes are %v, was %d", now, pid)
	}
	n.Kill()
	if r := n.TryCovey("start", "--data-dir", n.DataDir, "--state-dir", n.StateDir, "--listen", harness.Address); r.Code == 0 || !strings.Contains(r.Output(), "read-only file system") {
		t.Errorf("a start on a read-only disk: %s", r.Output())
	}

	n.PowerCut()
	n.RepairDisk()
	n.Start()
	n.Kubectl("create", "configmap", "after", "--from-literal=is=here")
	have := n.Kubectl("get", "configmaps", "-o", "name")
	has(t, "after", have, "configmap/before", "configmap/after")
	if again := n.Pod("app=web", harness.Ready); again.UID != web.UID {
		t.Errorf("the pod was replaced: %s, before %s", again.UID, web.UID)
	}
}

// TestNoNetworkAtAll has not even lo up, while covey runs and when it starts: pods go on, and are restarted.
func TestNoNetworkAtAll(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	p := n.Pod("app=web", harness.Ready)
	pids := n.Processes(p)
	n.SetLoopback("down")
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	runsAgain := func() {
		t.Helper()
		n.Eventually(func() error {
			now := n.Processes(p)
			if len(now) != 2 || slices.Contains(now, pids[0]) {
				return fmt.Errorf("processes of the pod: %v, want the shell and its sleep, and not %d", now, pids[0])
			}
			return nil
		})
	}
	runsAgain()
	n.PowerCut()
	n.Start()
	runsAgain()
	n.SetLoopback("up")
	after := n.Pod("app=web", harness.Ready)
	if after.UID != p.UID || after.Status.PodIP != p.Status.PodIP {
		t.Errorf("the pod was replaced: %s %s, before %s %s", after.UID, after.Status.PodIP, p.UID, p.Status.PodIP)
	}
	n.Kubectl("create", "configmap", "after", "--from-literal=is=here")
}

// TestAFullShimIsKilled takes the supervisor of as many pods away as one can have: each runs again in its sandbox, once, and nothing of before is left.
func TestAFullShimIsKilled(t *testing.T) {
	t.Parallel()
	const pods = 32
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	for some := 8; some <= pods; some += 8 { // a container that waits long for the shim's other ones gets a shim of its own
		n.Kubectl("scale", "deployment/web", fmt.Sprint("--replicas=", some))
		n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	}
	before, err := n.Pods("app=web")
	if err != nil {
		t.Fatal(err)
	}
	shims := n.Shims()
	if len(shims) == 0 || len(shims) > pods/8 {
		t.Fatalf("the shims %v, want one, or a few more on a busy machine", shims)
	}
	was := n.Running()
	for _, shim := range shims {
		if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	var uids []string
	for _, p := range before {
		uids = append(uids, string(p.UID))
	}
	n.Within(3*time.Minute, func() error {
		now, err := n.Pods("app=web")
		if err != nil {
			return err
		}
		for _, p := range now {
			if err := harness.Restarts(1)(&p); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			i := slices.IndexFunc(before, func(b corev1.Pod) bool { return b.UID == p.UID })
			if i < 0 || before[i].Status.PodIP != p.Status.PodIP {
				return fmt.Errorf("the pod %s was replaced", p.Name)
			}
		}
		running := n.Running()
		for uid, containers := range running {
			for id, pids := range containers {
				if len(containers) != 1 || len(pids) != 2 || was[uid][id] != nil {
					return fmt.Errorf("pod %s runs %v, ran %v", uid, containers, was[uid])
				}
			}
		}
		if len(now) != pods || len(running) != pods {
			return fmt.Errorf("%d pods and %d that run, want %d", len(now), len(running), pods)
		}
		return n.OnlyOf(uids)
	})
}
