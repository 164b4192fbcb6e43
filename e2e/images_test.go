package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestAnImageOnOneNodeIsEnough runs pods on nodes that were never told of the image, and has one wait for an image that comes later,
// to yet another node. There is no registry.
func TestAnImageOnOneNodeIsEnough(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	n := c.Nodes[1]
	on := func(name, node, image, policy string) string {
		return pod(name, fmt.Sprintf(`  nodeName: %s
  containers: [{name: c, image: %q, imagePullPolicy: %s}]`, node, image, policy))
	}
	n.Apply(on("early", "node-2", "hello:1.0", "IfNotPresent"))
	n.Apply(strings.ReplaceAll(on("late", "node-3", "busybox:1", "Always"), "}]", ", command: [sleep, '3600']}]"))
	n.Pod("app=early", waitsWith("ImagePullBackOff"))
	late := n.Pod("app=late", isRunning)
	has(t, "a pod whose registry cannot be reached", n.Kubectl("describe", "pod", late.Name),
		"It came from node-1.", "The registry could not be asked whether it has another")

	c.Nodes[2].Covey("image", "load", "--node", "node-3", harness.Bin("hello.tar"))
	early := n.Pod("app=early", isRunning)
	has(t, "a pod whose image was loaded on another node", n.Kubectl("describe", "pod", early.Name), "It came from node-3.")
	n.Eventually(func() error {
		if got := n.Kubectl("get", "node", "node-2", "-o", "jsonpath={.status.images[*].names}"); !strings.Contains(got, "docker.io/library/hello:1.0") {
			return fmt.Errorf("node-2 does not say that it has the image: %s", got)
		}
		return nil
	})
}

func isRunning(p *corev1.Pod) error {
	if p.Status.Phase != corev1.PodRunning {
		return fmt.Errorf("pod %s is %s: %+v", p.Name, p.Status.Phase, p.Status.ContainerStatuses)
	}
	return nil
}

func waitsWith(reason string) func(*corev1.Pod) error {
	return func(p *corev1.Pod) error {
		for _, s := range p.Status.ContainerStatuses {
			if s.State.Waiting != nil && s.State.Waiting.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("pod %s does not wait with %s: %+v", p.Name, reason, p.Status.ContainerStatuses)
	}
}
