package agent

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// ephemeral are a pod's ephemeral containers as containers like others. They come and end once, in a pod that has begun.
func ephemeral(pod *corev1.Pod) []corev1.Container {
	if len(pod.Spec.EphemeralContainers) == 0 {
		return nil
	}
	list := make([]corev1.Container, len(pod.Spec.EphemeralContainers))
	for i := range list {
		list[i] = corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
	}
	return list
}

func isEphemeral(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name })
}

// ephemeralContainers starts those that are new.
func ephemeralContainers(v *view) (s step, goOn bool) {
	next := step{verb: rest}
	list := ephemeral(v.pod)
	for i := range list {
		c := v.latest(list[i].Name)
		if c == nil && v.firstAttempt(list[i].Name) > 0 || c != nil && c.State != StateCreated {
			continue // it has had its start
		}
		s := advance(v, &list[i])
		if s.verb != rest {
			return s, false
		}
		next.at = earliest(next.at, s.at)
	}
	return next, true
}

// targetProcesses is the PID namespace of the container that an ephemeral one is to look into; "" for one of its own.
func (v *view) targetProcesses(name string) (string, error) {
	for i := range v.pod.Spec.EphemeralContainers {
		e := &v.pod.Spec.EphemeralContainers[i]
		if e.Name != name || e.TargetContainerName == "" {
			continue
		}
		c := v.latest(e.TargetContainerName)
		if c == nil || c.State != StateRunning {
			return "", fmt.Errorf("targetContainerName: container %s of the pod does not run", e.TargetContainerName)
		}
		return fmt.Sprintf("/proc/%d/ns/pid", c.Pid), nil
	}
	return "", nil
}
