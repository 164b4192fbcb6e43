package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podStatus says what the view amounts to. It keeps what others wrote: conditions that are not the agent's, the QoS class.
func podStatus(v *view, hostIP string) corev1.PodStatus {
	s := *v.pod.Status.DeepCopy()
	v.continueFrom(&s)
	s.HostIP, s.HostIPs = hostIP, []corev1.HostIP{{IP: hostIP}}
	if s.StartTime == nil {
		s.StartTime = &metav1.Time{Time: v.now.Truncate(1e9)}
	}
	if v.podIP != "" {
		s.PodIP, s.PodIPs = v.podIP, []corev1.PodIP{{IP: v.podIP}}
	}
	if !v.done {
		s.InitContainerStatuses = v.statuses(v.pod.Spec.InitContainers, s.InitContainerStatuses, true)
		s.ContainerStatuses = v.statuses(v.pod.Spec.Containers, s.ContainerStatuses, false)
		s.EphemeralContainerStatuses = v.ephemeralStatuses(s.EphemeralContainerStatuses)
		if !final(s.Phase) {
			s.Phase = v.phase(&s)
		}
	}
	v.verdictOnPod(&s)
	v.conditions(&s)
	return s
}

// verdictOnPod says why the agent ended the pod, once nothing of it runs any more: others take a failure for leave to start its
// replacement and to give its room away. What was said of a pod that has ended stays.
func (v *view) verdictOnPod(s *corev1.PodStatus) {
	if final(v.pod.Status.Phase) {
		return
	}
	if v.evicted != nil && v.evicted.pressure {
		v.condition(s, corev1.DisruptionTarget, true, corev1.PodReasonTerminationByKubelet, v.evicted.message)
	}
	s.Reason, s.Message = "", ""
	switch {
	case anyRuns(v.containers):
	case v.evicted != nil:
		s.Phase, s.Reason, s.Message = corev1.PodFailed, v.evicted.says(), v.evicted.message
	case v.overdue():
		s.Phase = corev1.PodFailed
		s.Reason, s.Message = "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
	}
}

// final says that a pod has ended: it never runs again.
func final(phase corev1.PodPhase) bool {
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

// continueFrom takes the times over that were said last, when the stored status does not show them yet.
func (v *view) continueFrom(s *corev1.PodStatus) {
	if v.last == nil {
		return
	}
	s.StartTime = v.last.StartTime
	if final(s.Phase) || v.emptied { // the containers may be gone by now
		s.InitContainerStatuses, s.ContainerStatuses = v.last.InitContainerStatuses, v.last.ContainerStatuses
	}
	for _, c := range v.last.Conditions {
		if ownConditions[c.Type] {
			setCondition(s, c)
		}
	}
}

// containerScheme begins the IDs of containers in a status.
const containerScheme = "containerd://"

// ownConditions are those that the agent writes.
var ownConditions = map[corev1.PodConditionType]bool{
	corev1.PodReadyToStartContainers: true, corev1.PodInitialized: true, corev1.PodReady: true, corev1.ContainersReady: true,
}

func (v *view) statuses(specs []corev1.Container, old []corev1.ContainerStatus, isInit bool) []corev1.ContainerStatus {
	if len(specs) == 0 {
		return nil
	}
	list := make([]corev1.ContainerStatus, len(specs))
	for i := range specs {
		list[i] = v.containerStatus(&specs[i], isInit && !alwaysRestarts(&specs[i]))
		for j := range old {
			switch {
			case old[j].Name != specs[i].Name || v.latest(specs[i].Name) != nil:
			case final(v.pod.Status.Phase), v.emptied:
				list[i] = old[j]
			default:
				keepPast(&list[i], &old[j])
			}
		}
	}
	return list
}

// keepPast carries what is known of a container's past over when its records are lost.
func keepPast(s, old *corev1.ContainerStatus) {
	s.RestartCount, s.LastTerminationState = old.RestartCount, old.LastTerminationState
	if old.State.Terminated != nil {
		s.LastTerminationState = old.State
	}
}

// containerStatus shows one container; those that run until they end differ from those that serve.
func (v *view) containerStatus(spec *corev1.Container, runsOnce bool) corev1.ContainerStatus {
	s := corev1.ContainerStatus{Name: spec.Name, Image: spec.Image, Started: new(bool)}
	list := v.containers[spec.Name]
	c := v.latest(spec.Name)
	if c == nil {
		s.State.Waiting = v.waiting(spec)
		return s
	}
	s.RestartCount = int32(c.Attempt)
	s.ContainerID, s.ImageID = containerScheme+c.ID, imageID(c)
	if len(list) > 1 {
		s.LastTerminationState.Terminated = v.terminated(&list[len(list)-2])
	}
	switch c.State {
	case StateCreated:
		s.State.Waiting = v.waiting(spec)
	case StateRunning:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.StartedAt.Truncate(1e9))}
		verdict := v.verdicts[c.ID]
		*s.Started = runsOnce || verdict.started
		_, stopping := v.stopping[c.ID]
		s.Ready = !runsOnce && verdict.ready && !stopping
	case StateExited:
		v.exited(&s, spec, c, runsOnce)
	}
	return s
}

// exited shows a container that will be started again as waiting, with its end as the last state.
func (v *view) exited(s *corev1.ContainerStatus, spec *corev1.Container, c *Container, runsOnce bool) {
	end := v.terminated(c)
	s.Ready = runsOnce && c.ExitCode == 0
	if v.deleting() || v.overdue() || v.completed() || v.evicted != nil || final(v.pod.Status.Phase) || !v.restarts(spec, c) {
		s.State.Terminated = end
		return
	}
	wait := v.backOff(spec, c)
	failure, failed := v.failed[c.ID]
	switch {
	case v.problems[spec.Name] != nil, !isInitContainer(v.pod, spec.Name) && !v.initialized():
		s.State.Waiting = v.waiting(spec)
	case wait > 0 && v.now.Before(c.FinishedAt.Add(wait)):
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: crashLoop, Message: v.backOffMessage(c, wait)}
	case v.fenced:
		s.State.Waiting = v.fencedWaiting()
	case failed:
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "RunContainerError", Message: failure.message}
	default:
		s.State.Terminated = end
		return
	}
	s.LastTerminationState.Terminated = end
}

// crashLoop is the reason of a container that waits because it ended again and again.
const crashLoop = "CrashLoopBackOff"

func (v *view) backOffMessage(c *Container, wait time.Duration) string {
	return fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", wait, c.Name, v.pod.Name, v.pod.Namespace, v.pod.UID)
}

// ephemeralStatuses are never ready and never started anew; what is known of one whose records are lost stays.
func (v *view) ephemeralStatuses(old []corev1.ContainerStatus) []corev1.ContainerStatus {
	specs := ephemeral(v.pod)
	list := v.statuses(specs, old, true)
	for i := range list {
		list[i].Started, list[i].Ready = nil, false
		for j := range old {
			if old[j].Name == list[i].Name && old[j].ContainerID != "" && v.latest(list[i].Name) == nil {
				list[i] = old[j]
			}
		}
	}
	return list
}

func (v *view) waiting(spec *corev1.Container) *corev1.ContainerStateWaiting {
	if p := v.problems[spec.Name]; p != nil {
		return &corev1.ContainerStateWaiting{Reason: p.reason, Message: p.message}
	}
	if v.fenced {
		return v.fencedWaiting()
	}
	if isInitContainer(v.pod, spec.Name) || !v.initialized() && !isEphemeral(v.pod, spec.Name) {
		return &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
}

func isInitContainer(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return true
		}
	}
	return false
}

func (v *view) terminated(c *Container) *corev1.ContainerStateTerminated {
	if c.State != StateExited {
		return nil
	}
	t := &corev1.ContainerStateTerminated{
		ExitCode:    c.ExitCode,
		Message:     v.messages[c.ID],
		Reason:      "Error",
		StartedAt:   metav1.NewTime(c.StartedAt.Truncate(1e9)),
		FinishedAt:  metav1.NewTime(c.FinishedAt.Truncate(1e9)),
		ContainerID: containerScheme + c.ID,
	}
	failure, failed := v.failed[c.ID]
	switch {
	case failed:
		t.Reason, t.Message = startError, failure.message
	case c.OOMKilled:
		t.Reason = "OOMKilled"
	case c.ExitCode == 0:
		t.Reason = "Completed"
	}
	return t
}

func imageID(c *Container) string {
	if c.ImageID == "" {
		return ""
	}
	return repository(c.Image) + "@" + c.ImageID
}

// phase follows the kubelet's rules. It is final only when nothing runs, sidecars and ephemeral containers included.
func (v *view) phase(s *corev1.PodStatus) corev1.PodPhase {
	runs := anyRuns(v.containers)
	if v.failedInit() != nil && !runs {
		return corev1.PodFailed
	}
	if !v.initialized() {
		return corev1.PodPending
	}
	var waiting, stopped, succeeded int
	for i := range s.ContainerStatuses {
		c := &s.ContainerStatuses[i]
		switch {
		case c.State.Running != nil:
		case c.State.Terminated != nil:
			stopped++
			if c.State.Terminated.ExitCode == 0 {
				succeeded++
			}
		case c.LastTerminationState.Terminated != nil:
			stopped++
		default:
			waiting++
		}
	}
	switch {
	case waiting > 0:
		return corev1.PodPending
	case runs, v.goesOn():
		return corev1.PodRunning
	case stopped == succeeded:
		return corev1.PodSucceeded
	}
	return corev1.PodFailed
}

// goesOn says that a container is yet to be started, whatever became of it before.
func (v *view) goesOn() bool {
	if v.deleting() {
		return false
	}
	for i := range v.pod.Spec.Containers {
		spec := &v.pod.Spec.Containers[i]
		c := v.latest(spec.Name)
		if c == nil || c.State == StateCreated || c.State == StateExited && v.restarts(spec, c) {
			return true
		}
	}
	return false
}

func (v *view) conditions(s *corev1.PodStatus) {
	v.condition(s, corev1.PodReadyToStartContainers, !v.done && (v.setUp || anyRuns(v.containers)), "", "")
	reason, message := v.unInitialized(s)
	v.condition(s, corev1.PodInitialized, reason == "", reason, message)
	reason, message = v.unready(s)
	if reason != "" && final(s.Phase) {
		reason, message = map[corev1.PodPhase]string{corev1.PodSucceeded: "PodCompleted", corev1.PodFailed: "PodFailed"}[s.Phase], ""
	}
	v.condition(s, corev1.ContainersReady, reason == "", reason, message)
	if reason == "" {
		reason, message = v.gated(s)
	}
	v.condition(s, corev1.PodReady, reason == "", reason, message)
	if !has(s, corev1.PodScheduled) {
		v.condition(s, corev1.PodScheduled, true, "", "")
	}
}

func (v *view) unInitialized(s *corev1.PodStatus) (reason, message string) {
	if v.initialized() {
		return "", ""
	}
	var names []string
	for i := range s.InitContainerStatuses {
		c := &s.InitContainerStatuses[i]
		up := c.Ready
		if alwaysRestarts(&v.pod.Spec.InitContainers[i]) {
			up = *c.Started
		}
		if !up {
			names = append(names, c.Name)
		}
	}
	return "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: %s", names)
}

func (v *view) unready(s *corev1.PodStatus) (reason, message string) {
	var names []string
	for i := range s.InitContainerStatuses {
		if c := &s.InitContainerStatuses[i]; !c.Ready && alwaysRestarts(containerOf(v.pod, c.Name)) {
			names = append(names, c.Name)
		}
	}
	for i := range s.ContainerStatuses {
		if !s.ContainerStatuses[i].Ready {
			names = append(names, s.ContainerStatuses[i].Name)
		}
	}
	if len(names) == 0 {
		return "", ""
	}
	return "ContainersNotReady", fmt.Sprintf("containers with unready status: %s", names)
}

// gated says which readiness gates hold the pod back: conditions that others write.
func (v *view) gated(s *corev1.PodStatus) (reason, message string) {
	var closed []string
	for _, gate := range v.pod.Spec.ReadinessGates {
		at := indexOf(s, gate.ConditionType)
		switch {
		case at < 0:
			closed = append(closed, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		case s.Conditions[at].Status != corev1.ConditionTrue:
			closed = append(closed, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %s", gate.ConditionType, s.Conditions[at].Status))
		}
	}
	if len(closed) == 0 {
		return "", ""
	}
	return "ReadinessGatesNotReady", strings.Join(closed, ", ")
}

func has(s *corev1.PodStatus, kind corev1.PodConditionType) bool { return indexOf(s, kind) >= 0 }

// indexOf is where a condition is among those of a status; negative where it is not.
func indexOf(s *corev1.PodStatus, kind corev1.PodConditionType) int {
	return slices.IndexFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
}

// condition sets one condition; its time changes only with its status.
func (v *view) condition(s *corev1.PodStatus, kind corev1.PodConditionType, holds bool, reason, message string) {
	status := corev1.ConditionFalse
	if holds {
		status = corev1.ConditionTrue
	}
	c := corev1.PodCondition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(v.now.Truncate(1e9))}
	if at := indexOf(s, kind); at >= 0 && s.Conditions[at].Status == status {
		c.LastTransitionTime = s.Conditions[at].LastTransitionTime
	}
	setCondition(s, c)
}

func setCondition(s *corev1.PodStatus, c corev1.PodCondition) {
	if at := indexOf(s, c.Type); at >= 0 {
		s.Conditions[at] = c
	} else {
		s.Conditions = append(s.Conditions, c)
	}
}
