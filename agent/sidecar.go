package agent

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// isSidecar says that a container is an init container that goes on running beside the main ones (KEP-753).
func isSidecar(pod *corev1.Pod, spec *corev1.Container) bool {
	return alwaysRestarts(spec) && isInitContainer(pod, spec.Name)
}

func alwaysRestarts(spec *corev1.Container) bool {
	return spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// through says that a sidecar was started once, so that what comes after it may begin.
func (v *view) through(spec *corev1.Container) bool {
	c := v.latest(spec.Name)
	return c != nil && c.State == StateRunning && v.verdicts[c.ID].started
}

// reached is how many of the init containers have been through, since something after them exists. Old ones are no longer
// there to tell, and a sidecar that is down is restarted beside what comes after it.
func (v *view) reached() int {
	if v.hasMain() {
		return len(v.pod.Spec.InitContainers)
	}
	for i := len(v.pod.Spec.InitContainers) - 1; i > 0; i-- {
		if c := v.latest(v.pod.Spec.InitContainers[i].Name); c != nil && !v.outdated(c) {
			return i
		}
	}
	return 0
}

// hasMain holds once a main container exists. A reboot of the machine begins anew.
func (v *view) hasMain() bool {
	return slices.ContainsFunc(v.pod.Spec.Containers, func(spec corev1.Container) bool {
		c := v.latest(spec.Name)
		return c != nil && !v.outdated(c)
	})
}

// completed holds when all main containers have ended for good: then the sidecars have nothing left to serve.
func (v *view) completed() bool {
	for i := range v.pod.Spec.Containers {
		spec := &v.pod.Spec.Containers[i]
		if c := v.latest(spec.Name); c == nil || c.State != StateExited || v.restarts(spec, c) {
			return false
		}
	}
	return true
}

// outlives are the IDs of the running containers that have to end before a sidecar is told to, when its pod ends: the main
// ones, and the sidecars that were started after it.
func (v *view) outlives(name string) []string {
	at := slices.IndexFunc(v.pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
	if at < 0 || !alwaysRestarts(&v.pod.Spec.InitContainers[at]) {
		return nil
	}
	var ids []string
	for _, list := range [][]corev1.Container{v.pod.Spec.Containers, v.pod.Spec.InitContainers[at+1:]} {
		for i := range list {
			if c := v.latest(list[i].Name); c != nil && c.State == StateRunning {
				ids = append(ids, c.ID)
			}
		}
	}
	return ids
}
