package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestDamagedContainerdMetadata has containerd's database overwritten while covey is stopped and its pods run: it is made anew, the image is
// there still, and the pods run again, in their sandboxes, each once; one that is to run once only has failed.
func TestDamagedContainerdMetadata(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	n.Apply(pod("once", `  restartPolicy: Never
  containers: [{name: c, image: "busybox:1", command: [sleep, "100000"]}]`))
	n.Apply(pod("done", `  restartPolicy: OnFailure
  initContainers: [{name: first, image: "busybox:1", command: ["true"]}]
  containers: [{name: c, image: "busybox:1", command: ["true"]}]`))
	before := n.Pod("app=web", harness.Ready)
	n.Pod("app=once", harness.Ready)
	n.Pod("app=done", harness.Phase(corev1.PodSucceeded))
	old := n.Processes(before)
	n.Kill()
	file := filepath.Join(n.DataDir, "containerd", "io.containerd.metadata.v1.bolt", "meta.db")
	if err := os.WriteFile(file, bytes.Repeat([]byte("damage "), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Start()
	n.Eventually(func() error {
		pids := n.Processes(before)
		for _, pid := range pids {
			for _, was := range old {
				if pid == was {
					return fmt.Errorf("process %d of the container before is still there", pid)
				}
			}
		}
		if len(pids) != 2 {
			return fmt.Errorf("processes of the pod: %v, want the shell and its sleep", pids)
		}
		return nil
	})
	after := n.Pod("app=web", harness.Restarts(1))
	if after.UID != before.UID || after.Status.PodIP != before.Status.PodIP {
		t.Errorf("the pod was replaced: %s %s, before %s %s", after.UID, after.Status.PodIP, before.UID, before.Status.PodIP)
	}
	if end := after.Status.ContainerStatuses[0].LastTerminationState.Terminated; end == nil || !strings.Contains(end.Message, "records of it are lost") {
		t.Errorf("the end of the container before: %v", end)
	}
	once := n.Pod("app=once", harness.Phase(corev1.PodFailed))
	if left := n.Processes(once); len(left) > 0 {
		t.Errorf("the pod that is to run once has processes %v", left)
	}
	n.Pod("app=done", harness.Phase(corev1.PodSucceeded))
	if _, err := os.Stat(filepath.Join(n.DataDir, "containerd", "meta.db.damaged")); errors.Is(err, os.ErrNotExist) {
		t.Error("the damaged file was not kept")
	}
}
