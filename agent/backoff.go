package agent

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Back-off of a container that ends again and again, as the kubelet has it.
const (
	firstBackOff   = 10 * time.Second
	longestBackOff = 5 * time.Minute
	// steadyRun is how long a container has to run for its past to be forgotten.
	steadyRun = 10 * time.Minute
)

// restarts says whether a container that has ended is to be started again.
func (v *view) restarts(spec *corev1.Container, c *Container) bool {
	if isEphemeral(v.pod, spec.Name) {
		return false
	}
	if c.ExitCode == 0 && isInitContainer(v.pod, spec.Name) && !alwaysRestarts(spec) {
		return v.outdated(c)
	}
	return policyRestarts(v.pod.Spec.RestartPolicy, spec, c.ExitCode) || v.replaced(spec, c)
}

// policyRestarts is what the policies say: the container's rules, its own policy, then the pod's (KEP-5307).
func policyRestarts(pods corev1.RestartPolicy, spec *corev1.Container, code int32) bool {
	policy := pods
	if spec.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*spec.RestartPolicy)
		if slices.ContainsFunc(spec.RestartPolicyRules, func(r corev1.ContainerRestartRule) bool { return matches(r, code) }) {
			return true
		}
	}
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	}
	return true
}

// matches says that a rule is for this exit code. All rules restart.
func matches(r corev1.ContainerRestartRule, code int32) bool {
	if r.ExitCodes == nil {
		return false
	}
	in := slices.Contains(r.ExitCodes.Values, code)
	return in == (r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn)
}

// replaced says that a container was stopped to run another image.
func (v *view) replaced(spec *corev1.Container, c *Container) bool {
	_, stopped := v.stopping[c.ID]
	return stopped && c.SpecHash != specHash(spec)
}

// backOff is how long to wait after the end of c: nothing the first time, then 10 s, doubled up to 5 minutes. A new image
// and a reboot of the machine begin anew.
func (v *view) backOff(spec *corev1.Container, c *Container) time.Duration {
	times := c.Attempt - v.steady[spec.Name]
	if times <= 0 || v.outdated(c) || c.SpecHash != specHash(spec) {
		return 0
	}
	return doubled(firstBackOff, times-1, longestBackOff)
}

// nextStart is when a container that has ended may be started again; zero for at once.
func (v *view) nextStart(spec *corev1.Container, c *Container) time.Time {
	wait := v.backOff(spec, c)
	if wait == 0 {
		return time.Time{}
	}
	return c.FinishedAt.Add(wait)
}

// steadyAttempts notes in known which attempts ran for long.
func steadyAttempts(known map[string]int, containers map[string][]Container) {
	for name, list := range containers {
		for i := range list {
			c := &list[i]
			if c.State == StateExited && c.FinishedAt.Sub(c.StartedAt) >= steadyRun {
				known[name] = max(known[name], c.Attempt)
			}
		}
	}
}

// doubled is d, doubled some times, but not above most.
func doubled(d time.Duration, times int, most time.Duration) time.Duration {
	for ; times > 0 && d < most; times-- {
		d *= 2
	}
	return min(d, most)
}

// earliest takes the zero time as never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
