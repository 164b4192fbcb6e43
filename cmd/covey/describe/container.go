package describe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// containers writes the containers of a pod, or of a template where there are no statuses.
func (w *Writer) containers(title string, list []corev1.Container, statuses []corev1.ContainerStatus) {
	w.containersAt(0, title, list, statuses)
}

func (w *Writer) containersAt(level int, title string, list []corev1.Container, statuses []corev1.ContainerStatus) {
	if len(list) == 0 {
		return
	}
	w.line(level, "%s:", title)
	for i := range list {
		c := &list[i]
		at := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == c.Name })
		var status *corev1.ContainerStatus
		if at >= 0 {
			status = &statuses[at]
		}
		w.line(level+1, "%s:", c.Name)
		w.container(level+2, c, status)
	}
}

func (w *Writer) container(level int, c *corev1.Container, status *corev1.ContainerStatus) {
	if status != nil {
		w.field(level, "Container ID", status.ContainerID)
	}
	w.field(level, "Image", c.Image)
	if status != nil {
		w.field(level, "Image ID", status.ImageID)
	}
	w.ports(level, c.Ports)
	w.words(level, "Command", c.Command)
	w.words(level, "Args", c.Args)
	if status != nil {
		w.state(level, "State", status.State)
		if last := status.LastTerminationState; last.Terminated != nil {
			w.state(level, "Last State", last)
		}
		w.field(level, "Ready", boolText(status.Ready))
		w.field(level, "Restart Count", status.RestartCount)
	}
	w.resources(level, "Limits", c.Resources.Limits)
	w.resources(level, "Requests", c.Resources.Requests)
	w.probe(level, "Liveness", c.LivenessProbe)
	w.probe(level, "Readiness", c.ReadinessProbe)
	w.probe(level, "Startup", c.StartupProbe)
	w.environment(level, c)
	var mounts []string
	for _, m := range c.VolumeMounts {
		mounts = append(mounts, mount(&m))
	}
	w.below(level, "Mounts", mounts)
}

// below writes values each on a line of its own under their key.
func (w *Writer) below(level int, key string, values []string) {
	if len(values) == 0 {
		w.field(level, key, none)
		return
	}
	w.line(level, "%s:", key)
	for _, v := range values {
		w.line(level+1, "%s", v)
	}
}

func (w *Writer) words(level int, key string, words []string) {
	if len(words) == 0 {
		return
	}
	var lines []string
	for _, word := range words {
		lines = append(lines, strings.Split(word, "\n")...)
	}
	w.below(level, key, lines)
}

func (w *Writer) ports(level int, ports []corev1.ContainerPort) {
	inside, outside := []string{}, []string{}
	for _, p := range ports {
		text := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol)
		if p.Name != "" {
			text += " (" + p.Name + ")"
		}
		inside = append(inside, text)
		outside = append(outside, fmt.Sprintf("%d/%s", p.HostPort, p.Protocol))
	}
	plural := ""
	if len(ports) > 1 {
		plural = "s"
	}
	w.field(level, "Port"+plural, orNone(strings.Join(inside, ", ")))
	w.field(level, "Host Port"+plural, orNone(strings.Join(outside, ", ")))
}

func (w *Writer) state(level int, key string, s corev1.ContainerState) {
	switch {
	case s.Running != nil:
		w.field(level, key, "Running")
		w.field(level+1, "Started", timeText(s.Running.StartedAt))
	case s.Terminated != nil:
		w.field(level, key, "Terminated")
		w.optional(level+1, "Reason", s.Terminated.Reason)
		w.optional(level+1, "Message", s.Terminated.Message)
		w.field(level+1, "Exit Code", s.Terminated.ExitCode)
		if s.Terminated.Signal > 0 {
			w.field(level+1, "Signal", s.Terminated.Signal)
		}
		w.field(level+1, "Started", timeText(s.Terminated.StartedAt))
		w.field(level+1, "Finished", timeText(s.Terminated.FinishedAt))
	default:
		w.field(level, key, "Waiting")
		if s.Waiting != nil {
			w.optional(level+1, "Reason", s.Waiting.Reason)
			w.optional(level+1, "Message", s.Waiting.Message)
		}
	}
}

func (w *Writer) resources(level int, key string, list corev1.ResourceList) {
	if len(list) == 0 {
		return
	}
	w.line(level, "%s:", key)
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		w.field(level+1, string(name), q.String())
	}
}

func (w *Writer) probe(level int, key string, p *corev1.Probe) {
	if p == nil {
		return
	}
	w.field(level, key, fmt.Sprintf("%s delay=%ds timeout=%ds period=%ds #success=%d #failure=%d", probeTarget(p),
		p.InitialDelaySeconds, p.TimeoutSeconds, p.PeriodSeconds, p.SuccessThreshold, p.FailureThreshold))
}

func probeTarget(p *corev1.Probe) string {
	switch {
	case p.HTTPGet != nil:
		scheme := strings.ToLower(string(p.HTTPGet.Scheme))
		if scheme == "" {
			scheme = "http"
		}
		return fmt.Sprintf("http-get %s://%s:%s%s", scheme, p.HTTPGet.Host, p.HTTPGet.Port.String(), p.HTTPGet.Path)
	case p.TCPSocket != nil:
		return fmt.Sprintf("tcp-socket %s:%s", p.TCPSocket.Host, p.TCPSocket.Port.String())
	case p.GRPC != nil:
		return fmt.Sprintf("grpc <pod>:%d %s", p.GRPC.Port, deref(p.GRPC.Service))
	case p.Exec != nil:
		return fmt.Sprintf("exec %v", p.Exec.Command)
	}
	return "unknown"
}

func (w *Writer) environment(level int, c *corev1.Container) {
	var from []string
	for _, e := range c.EnvFrom {
		prefix := ""
		if e.Prefix != "" {
			prefix = fmt.Sprintf(" with prefix '%s'", e.Prefix)
		}
		switch {
		case e.ConfigMapRef != nil:
			from = append(from, fmt.Sprintf("%s\tConfigMap%s\tOptional: %t", e.ConfigMapRef.Name, prefix, isTrue(e.ConfigMapRef.Optional)))
		case e.SecretRef != nil:
			from = append(from, fmt.Sprintf("%s\tSecret%s\tOptional: %t", e.SecretRef.Name, prefix, isTrue(e.SecretRef.Optional)))
		}
	}
	if len(from) > 0 {
		w.below(level, "Environment Variables from", from)
	}
	var env []string
	for _, e := range c.Env {
		env = append(env, e.Name+":\t"+envValue(&e))
	}
	w.below(level, "Environment", env)
}

func envValue(e *corev1.EnvVar) string {
	from := e.ValueFrom
	switch {
	case from == nil:
		return strings.ReplaceAll(e.Value, "\n", "\\n")
	case from.ConfigMapKeyRef != nil:
		return fmt.Sprintf("<set to the key '%s' of config map '%s'>\tOptional: %t", from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Name, isTrue(from.ConfigMapKeyRef.Optional))
	case from.SecretKeyRef != nil:
		return fmt.Sprintf("<set to the key '%s' in secret '%s'>\tOptional: %t", from.SecretKeyRef.Key, from.SecretKeyRef.Name, isTrue(from.SecretKeyRef.Optional))
	case from.FieldRef != nil:
		return fmt.Sprintf(" (%s:%s)", from.FieldRef.APIVersion, from.FieldRef.FieldPath)
	case from.ResourceFieldRef != nil:
		return fmt.Sprintf("(%s)", from.ResourceFieldRef.Resource)
	}
	return ""
}

func mount(m *corev1.VolumeMount) string {
	mode := "rw"
	if m.ReadOnly {
		mode = "ro"
	}
	if m.SubPath != "" {
		mode += fmt.Sprintf(",path=%q", m.SubPath)
	}
	return fmt.Sprintf("%s from %s (%s)", m.MountPath, m.Name, mode)
}

func boolText(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}
