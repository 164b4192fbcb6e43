package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

func TestEphemeralContainersLookIntoOthers(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("p", `
  containers: [{name: c, image: "busybox:1", command: [sleep, "4711"]}]`))
	p := n.Pod("app=p", harness.Ready)
	n.Kubectl("debug", "p", "--image=busybox:1", "--target=c", "--container=look", "--profile=general", "--", "sh", "-c", "ps; echo looked; while ! test -e /over; do sleep 0.1; done; exit 7")
	n.Pod("app=p", ephemeralIs("look", func(s corev1.ContainerState) bool { return s.Running != nil }))
	n.Eventually(func() error { return contain(n.Kubectl("logs", "p", "-c", "look"), "sleep 4711", "looked") })
	has(t, "describe", n.Kubectl("describe", "pod", "p"), "Ephemeral Containers:", "look:")

	n.Kill()
	n.Start()
	n.Kubectl("exec", "p", "-c", "look", "--", "touch", "/over")
	n.Pod("app=p", ephemeralIs("look", func(s corev1.ContainerState) bool { return s.Terminated != nil && s.Terminated.ExitCode == 7 }))
	again := n.Pod("app=p", harness.Ready)
	if again.Status.ContainerStatuses[0].ContainerID != p.Status.ContainerStatuses[0].ContainerID {
		t.Error("an ephemeral container changed the pod's own")
	}
}

func ephemeralIs(name string, as func(corev1.ContainerState) bool) func(*corev1.Pod) error {
	return func(p *corev1.Pod) error {
		for _, s := range p.Status.EphemeralContainerStatuses {
			if s.Name == name && as(s.State) {
				return nil
			}
		}
		return fmt.Errorf("the ephemeral containers are %+v", p.Status.EphemeralContainerStatuses)
	}
}
