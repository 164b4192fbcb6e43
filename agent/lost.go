package agent

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	// lostCode is the exit code of a container of which nothing is known but that it was there, as the kubelet has it.
	lostCode    = 137
	lostMessage = "The container could not be located: the runtime's records of it are lost"
)

// findLost shows the containers that the pod's stored status tells of and that the runtime does not have, because its
// records are lost, as ended. So they count as attempts, and what is to run once does not run twice.
func (w *worker) findLost(byName map[string][]Container) {
	pod := w.currentPod()
	if w.lost == nil {
		w.lost = map[string]Container{}
		if !final(pod.Status.Phase) { // of those that have ended the status stays as it is
			w.noteLost(pod, byName)
		}
	}
	for name, c := range w.lost {
		byName[name] = append([]Container{c}, byName[name]...)
	}
}

func (w *worker) noteLost(pod *corev1.Pod, byName map[string][]Container) {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		spec := containerOf(pod, s.Name)
		if s.ContainerID == "" || len(byName[s.Name]) > 0 || spec == nil {
			continue
		}
		c := w.lostContainer(spec, &s)
		w.lost[s.Name] = c
		if s.State.Terminated == nil {
			w.messages[c.ID] = lostMessage
		}
	}
}

func (w *worker) lostContainer(spec *corev1.Container, s *corev1.ContainerStatus) Container {
	image, digest, _ := strings.Cut(s.ImageID, "@")
	c := Container{
		ID: strings.TrimPrefix(s.ContainerID, containerScheme), Pod: w.ref, Name: s.Name, Attempt: int(s.RestartCount),
		SpecHash: specHash(spec), Image: image, ImageID: digest, LogPath: w.logPath(s.Name, int(s.RestartCount)),
		State: StateExited, FinishedAt: w.Now(), ExitCode: lostCode,
	}
	switch {
	case s.State.Terminated != nil:
		end := s.State.Terminated
		c.StartedAt, c.FinishedAt = end.StartedAt.Time, end.FinishedAt.Time
		c.ExitCode, c.OOMKilled = end.ExitCode, end.Reason == "OOMKilled"
		w.messages[c.ID] = end.Message
	case s.State.Running != nil:
		c.StartedAt = s.State.Running.StartedAt.Time
	}
	if c.StartedAt.IsZero() {
		c.StartedAt = c.FinishedAt
	}
	c.CreatedAt = c.StartedAt
	return c
}

// lostBefore counts them among those from before a reboot: their pod begins anew, without a back-off.
func (w *worker) lostBefore() {
	for _, c := range w.lost {
		w.before[c.ID] = true
	}
}

// dropLost forgets one.
func (w *worker) dropLost(id string) {
	for name, c := range w.lost {
		if c.ID == id {
			delete(w.lost, name)
		}
	}
}
