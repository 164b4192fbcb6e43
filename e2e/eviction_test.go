package e2e

import (
	"fmt"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// evicted checks that kubectl shows a pod as evicted, with its reason.
func evicted(n *harness.Node, pod, message string) {
	n.Eventually(func() error {
		status := n.Kubectl("get", "pod", pod, "-o", "jsonpath={.status.phase} {.status.reason} {.status.message}")
		if !strings.HasPrefix(status, "Failed Evicted ") || !strings.Contains(status, message) {
			return fmt.Errorf("pod %s: %q, want it evicted: %s", pod, status, message)
		}
		return nil
	})
}

// TestPodsOverTheirDiskLimitsAreEvicted has pods that write more than they may: into an emptyDir, into their own file
// system, and into their log.
func TestPodsOverTheirDiskLimitsAreEvicted(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	pod := func(name, command, resources string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: "busybox:1", command: [sh, -c, "%s; sleep 1000"], volumeMounts: [{name: v, mountPath: /v}]%s}
  volumes: [{name: v, emptyDir: {sizeLimit: 4Mi}}]
---`, name, command, resources)
	}
	limit := ", resources: {limits: {ephemeral-storage: 8Mi}}"
	n.Apply(pod("volume", "dd if=/dev/zero of=/v/f bs=1M count=6", "") +
		pod("layer", "dd if=/dev/zero of=/f bs=1M count=10", limit) +
		pod("talk", "yes 0123456789012345678901234567890123456789012345678901234567890 | head -n 120000", limit) +
		pod("modest", "dd if=/dev/zero of=/v/f bs=1M count=3; dd if=/dev/zero of=/f bs=1M count=3", limit))
	evicted(n, "volume", `Usage of EmptyDir volume "v" exceeds the limit "4Mi".`)
	evicted(n, "layer", `Pod ephemeral local storage usage exceeds the total limit of containers 8Mi.`)
	evicted(n, "talk", `Pod ephemeral local storage usage exceeds the total limit of containers 8Mi.`)
	n.Eventually(func() error {
		if phase := n.Kubectl("get", "pod", "modest", "-o", "jsonpath={.status.phase}"); phase != "Running" {
			return fmt.Errorf("the pod that keeps to its limits is %s", phase)
		}
		return nil
	})
	has(t, "kubectl get pods", n.Kubectl("get", "pods"), "Evicted")
	n.Eventually(func() error {
		events := n.Kubectl("get", "events", "--field-selector=involvedObject.name=volume")
		return contain(events, `Usage of EmptyDir volume "v" exceeds the limit "4Mi".`)
	})
}

// TestAFullDisk has a node whose disk a pod fills: unused images go, then that pod, and others stay.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	n := harness.New(t, "--eviction-hard", "nodefs.available<25%,imagefs.available<25%", "--image-gc-high-threshold=100", "--image-gc-low-threshold=99")
	n.OnSmallDisk(256 << 20)
	n.Start()
	n.LoadImages()
	n.Apply(shell("web", sleeps))
	web := n.Pod("app=web", harness.Ready)
	n.Apply(`{apiVersion: v1, kind: Pod, metadata: {name: hog}, spec: {terminationGracePeriodSeconds: 1,
  containers: [{name: c, image: "busybox:1", command: [sh, -c, "dd if=/dev/zero of=/v/f bs=1M count=180; sleep 1000"], volumeMounts: [{name: v, mountPath: /v}]}],
  volumes: [{name: v, emptyDir: {}}]}}`)
	evicted(n, "hog", "The node was low on resource: ephemeral-storage. Threshold quantity: 64Mi, available: ")
	n.Kubectl("wait", "--for=condition=DiskPressure", "node/node-1", "--timeout=60s")
	n.Eventually(func() error {
		if images := n.Covey("image", "ls"); strings.Contains(images, "hello") || !strings.Contains(images, "busybox") {
			return fmt.Errorf("images: %s", images)
		}
		return nil
	})
	if now := n.Pod("app=web", harness.Ready); now.UID != web.UID {
		t.Errorf("the modest pod was replaced by %s", now.Name)
	}
	n.Eventually(func() error {
		events := n.Kubectl("get", "events", "--field-selector=involvedObject.kind=Node", "-o", "custom-columns=R:.reason,M:.message")
		return contain(events, "Attempting to reclaim ephemeral-storage", "NodeHasDiskPressure")
	})
	n.Apply(`{apiVersion: v1, kind: Pod, metadata: {name: late}, spec: {nodeName: node-1, containers: [{name: c, image: "busybox:1", command: [sleep, "1000"]}]}}`)
	evicted(n, "late", "Pod was rejected: The node had condition: [DiskPressure].")
}
