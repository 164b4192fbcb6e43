package kind

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func podColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.PodSpec{}.SwaggerDoc(), corev1.PodStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		nameColumn(),
		text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
		text("Status", "The aggregate status of the containers in this pod."),
		text("Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
		ageColumn(),
		wide(text("IP", status["podIP"])),
		wide(text("Node", spec["nodeName"])),
		wide(text("Nominated Node", status["nominatedNodeName"])),
		wide(text("Readiness Gates", spec["readinessGates"])),
	}
}

func podRow(p *corev1.Pod, now time.Time) []any {
	s := summarize(p)
	ip := ""
	if len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return []any{
		p.Name, fmt.Sprintf("%d/%d", s.ready, s.total), s.status, s.restarts.cell(now), age(p, now),
		orElse(ip, none), orElse(p.Spec.NodeName, none), orElse(p.Status.NominatedNodeName, none), gatesCell(p),
	}
}

// gatesCell is how many of the readiness gates are true, of how many.
func gatesCell(p *corev1.Pod) string {
	if len(p.Spec.ReadinessGates) == 0 {
		return none
	}
	passed := 0
	for _, gate := range p.Spec.ReadinessGates {
		if conditionTrue(p, gate.ConditionType) {
			passed++
		}
	}
	return fmt.Sprintf("%d/%d", passed, len(p.Spec.ReadinessGates))
}

func conditionTrue(p *corev1.Pod, typ corev1.PodConditionType) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == typ {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// restarts counts containers' restarts, and knows when the last container ended that was restarted.
type restarts struct {
	count int
	last  time.Time
}

func (r *restarts) add(c corev1.ContainerStatus) {
	r.count += int(c.RestartCount)
	if t := c.LastTerminationState.Terminated; t != nil && r.last.Before(t.FinishedAt.Time) {
		r.last = t.FinishedAt.Time
	}
}

// cell is "2 (10s ago)".
func (r *restarts) cell(now time.Time) string {
	if r.count == 0 || r.last.IsZero() {
		return strconv.Itoa(r.count)
	}
	return fmt.Sprintf("%d (%s ago)", r.count, since(r.last, now))
}

// podSummary is a pod in one line, as kubectl's users know it.
type podSummary struct {
	ready, total int
	status       string
	restarts     restarts
	sidecars     restarts // those of the sidecars up to the init container that is not done
}

func summarize(p *corev1.Pod) podSummary {
	s := podSummary{total: len(p.Spec.Containers), status: orElse(p.Status.Reason, string(p.Status.Phase))}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonSchedulingGated {
			s.status = c.Reason
		}
	}
	sidecars := sidecarsOf(p)
	s.total += len(sidecars)
	initializing := s.addInit(p, sidecars)
	if !initializing || conditionTrue(p, corev1.PodInitialized) {
		s.addContainers(p)
	}
	// Why a pod was ended says more than that its containers then ended with an error, which is what kubectl shows of Kubernetes.
	if p.Status.Phase == corev1.PodFailed && p.Status.Reason != "" {
		s.status = p.Status.Reason
	}
	if p.DeletionTimestamp != nil {
		switch {
		case p.Status.Reason == "NodeLost":
			s.status = "Unknown"
		case p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed:
			s.status = "Terminating"
		}
	}
	return s
}

// sidecarsOf are the names of the init containers that go on running beside the others.
func sidecarsOf(p *corev1.Pod) map[string]bool {
	names := map[string]bool{}
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			names[c.Name] = true
		}
	}
	return names
}

// addInit goes through the init containers up to the first that is not done, and says whether there is one.
func (s *podSummary) addInit(p *corev1.Pod, sidecars map[string]bool) (initializing bool) {
	for i, c := range p.Status.InitContainerStatuses {
		s.restarts.add(c)
		if sidecars[c.Name] {
			s.sidecars.add(c)
		}
		ended, waiting := c.State.Terminated, c.State.Waiting
		switch {
		case ended != nil && ended.ExitCode == 0:
			continue
		case sidecars[c.Name] && c.Started != nil && *c.Started:
			if c.Ready {
				s.ready++
			}
			continue
		case ended != nil:
			s.status = "Init:" + endedReason(ended)
		case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing":
			s.status = "Init:" + waiting.Reason
		default:
			s.status = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		return true
	}
	return false
}

// addContainers takes the status from the containers; what the first of them says wins. The restarts of plain init
// containers no longer count.
func (s *podSummary) addContainers(p *corev1.Pod) {
	s.restarts = s.sidecars
	running, failed := false, ""
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := p.Status.ContainerStatuses[i]
		s.restarts.add(c)
		switch ended, waiting := c.State.Terminated, c.State.Waiting; {
		case waiting != nil && waiting.Reason != "":
			s.status = waiting.Reason
		case ended != nil:
			s.status = endedReason(ended)
			if ended.ExitCode != 0 {
				failed = s.status
			}
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.status == "Completed" {
		s.status = completedStatus(running, conditionTrue(p, corev1.PodReady), failed)
	}
}

// completedStatus is the status of a pod whose first ended container was successful, given what the others say.
func completedStatus(running, ready bool, failed string) string {
	switch {
	case running && ready:
		return "Running"
	case failed != "":
		return failed
	case running:
		return "NotReady"
	}
	return "Completed"
}

func endedReason(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}
