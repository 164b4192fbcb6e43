package autoscaler

import (
	"errors"
	"fmt"
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"

	"covey.dev/covey/scheduler/autoscale"
)

// errNotYet says that the next measurement may tell.
var errNotYet = errors.New("it is not known yet")

// metric is one metric of an autoscaler in one step.
type metric struct {
	autoscale.Measurement
	spec      *autoscalingv2.MetricSpec
	requested float64 // by the pods that were measured together; 0 where the target is not a part of it
	err       error   // why it is not known
}

// what describes a metric as Kubernetes' messages do.
func (m *metric) what() string {
	switch {
	case m.spec.Resource != nil && m.spec.Resource.Target.AverageUtilization != nil:
		return fmt.Sprintf("%s resource utilization (percentage of request)", m.spec.Resource.Name)
	case m.spec.Resource != nil:
		return fmt.Sprintf("%s resource", m.spec.Resource.Name)
	case m.spec.ContainerResource != nil && m.spec.ContainerResource.Target.AverageUtilization != nil:
		return fmt.Sprintf("%s container resource utilization (percentage of request)", m.spec.ContainerResource.Name)
	case m.spec.ContainerResource != nil:
		return fmt.Sprintf("%s container resource", m.spec.ContainerResource.Name)
	case m.spec.Pods != nil:
		return fmt.Sprintf("pods metric %s", m.spec.Pods.Metric.Name)
	}
	return string(m.spec.Type) + " metric"
}

// measure takes one metric of the pods that are ready.
func (c *scaling) measure(spec *autoscalingv2.MetricSpec, s Samples) metric {
	m := metric{spec: spec}
	m.Ready = len(c.ready)
	switch {
	case len(c.ready) == 0:
		m.err = fmt.Errorf("%w: no pod is ready", errNotYet)
		return m
	case spec.Resource != nil:
		c.measureResource(&m, spec.Resource.Name, "", &spec.Resource.Target, s)
	case spec.ContainerResource != nil:
		c.measureResource(&m, spec.ContainerResource.Name, spec.ContainerResource.Container, &spec.ContainerResource.Target, s)
	case spec.Pods != nil:
		c.measureRequests(&m, spec.Pods, s)
	default:
		m.err = fmt.Errorf("covey does not measure %s metrics", spec.Type)
	}
	if m.err == nil && m.Ready == m.Missed {
		m.err = fmt.Errorf("%w: none of the %d ready pods was measured since it is ready", errNotYet, m.Ready)
	}
	return m
}

// measureResource adds up what pods use of a resource, or one container of each.
func (c *scaling) measureResource(m *metric, name corev1.ResourceName, container string, target *autoscalingv2.MetricTarget, s Samples) {
	for _, pod := range c.ready {
		u := useOf(pod, name, container, s)
		switch {
		case u.err != nil && (target.AverageUtilization != nil || !u.found):
			m.err = u.err
			return
		case !u.measured:
			m.Missed++
		case name == corev1.ResourceCPU && u.since.Before(pod.since):
			m.Missed++ // it was starting, and what that took is not its load
		default:
			m.Load += u.used
			m.requested += u.requested
		}
	}
	measured := float64(m.Ready - m.Missed)
	switch {
	case target.AverageUtilization != nil && measured > 0:
		m.Target = float64(*target.AverageUtilization) / 100 * m.requested / measured
	case target.AverageValue != nil:
		m.Target, m.requested = inUnits(name, target.AverageValue), 0
	}
}

// podUse is what a pod uses and requests of a resource, in thousandths of a core or in bytes.
type podUse struct {
	used, requested float64
	since           time.Time // when the measurement of what it uses began
	measured        bool
	found           bool  // it has the container
	err             error // why what it requests is not known
}

// useOf adds up a pod's containers, or takes the one that is named.
func useOf(pod *podFact, name corev1.ResourceName, container string, s Samples) podUse {
	u := podUse{measured: true}
	for i := range pod.containers {
		one := &pod.containers[i]
		if container != "" && one.name != container {
			continue
		}
		u.found = true
		if request, ok := one.requests[name]; ok {
			u.requested += inUnits(name, &request)
		} else if u.err == nil {
			u.err = fmt.Errorf("missing request for %s in container %s of Pod %s", name, one.name, pod.Name)
		}
		use, ok := s.Containers[Container{Namespace: pod.Namespace, Pod: pod.Name, Name: one.name}]
		u.measured = u.measured && ok
		if name == corev1.ResourceMemory {
			u.used += float64(use.Memory)
		} else {
			u.used += float64(use.MilliCPU)
		}
		if u.since.IsZero() || use.Since.Before(u.since) {
			u.since = use.Since
		}
	}
	if !u.found {
		u.err = fmt.Errorf("container %s not present in metrics for pod %s", container, pod.NamespacedName)
	}
	return u
}

// inUnits is a quantity in the units that loads are counted in.
func inUnits(name corev1.ResourceName, q *quantity.Quantity) float64 {
	if name == corev1.ResourceMemory {
		return float64(q.Value())
	}
	return float64(q.MilliValue())
}

func (c *scaling) measureRequests(m *metric, spec *autoscalingv2.PodsMetricSource, s Samples) {
	m.Target = spec.Target.AverageValue.AsApproximateFloat64()
	for _, pod := range c.ready {
		r, ok := s.Requests[pod.NamespacedName]
		load := r.PerSecond
		if spec.Metric.Name == "requests_in_flight" {
			load = r.InFlight
		}
		if !ok || math.IsNaN(load) {
			m.Missed++
			continue
		}
		m.Load += load
	}
}

// status says what is measured as Kubernetes' API does: per pod.
func (m *metric) status() autoscalingv2.MetricStatus {
	out := autoscalingv2.MetricStatus{Type: m.spec.Type}
	current := m.perPod()
	switch {
	case m.spec.Resource != nil:
		out.Resource = &autoscalingv2.ResourceMetricStatus{Name: m.spec.Resource.Name, Current: current}
	case m.spec.ContainerResource != nil:
		out.ContainerResource = &autoscalingv2.ContainerResourceMetricStatus{
			Name: m.spec.ContainerResource.Name, Container: m.spec.ContainerResource.Container, Current: current,
		}
	case m.spec.Pods != nil:
		out.Pods = &autoscalingv2.PodsMetricStatus{Metric: m.spec.Pods.Metric, Current: current}
	}
	return out
}

func (m *metric) perPod() (current autoscalingv2.MetricValueStatus) {
	current.AverageValue = m.quantity(m.average())
	if m.requested > 0 {
		percent := int32(math.Round(100 * m.Load / m.requested))
		current.AverageUtilization = &percent
	}
	return current
}

// average is the load of a replica.
func (m *metric) average() float64 { return m.Load / float64(m.Ready-m.Missed) }

// quantity is a load as a user writes it.
func (m *metric) quantity(load float64) *quantity.Quantity {
	switch {
	case m.isMemory():
		return quantity.NewQuantity(int64(load), quantity.BinarySI)
	case m.spec.Pods != nil:
		return quantity.NewMilliQuantity(int64(math.Round(load*1000)), quantity.DecimalSI)
	}
	return quantity.NewMilliQuantity(int64(math.Round(load)), quantity.DecimalSI)
}

func (m *metric) isMemory() bool {
	return m.spec.Resource != nil && m.spec.Resource.Name == corev1.ResourceMemory ||
		m.spec.ContainerResource != nil && m.spec.ContainerResource.Name == corev1.ResourceMemory
}
