package autoscaler

import (
	"fmt"
	"math"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/autoscale"
)

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
		m.err = fmt.Errorf("no pod is ready")
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
		m.err = fmt.Errorf("none of the %d ready pods was measured yet", m.Ready)
	}
	return m
}

// measureResource adds up what pods use of a resource, or one container of each.
func (c *scaling) measureResource(m *metric, name corev1.ResourceName, container string, target *autoscalingv2.MetricTarget, s Samples) {
	for _, pod := range c.ready {
		used, requested, measured, err := podUse(pod, name, container, s)
		if err != nil && target.AverageUtilization != nil {
			m.err = err
			return
		}
		if !measured {
			m.Missed++
			continue
		}
		m.Load += used
		m.requested += requested
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
func podUse(pod *corev1.Pod, name corev1.ResourceName, container string, s Samples) (used, requested float64, measured bool, err error) {
	found := false
	for i := range pod.Spec.Containers {
		one := &pod.Spec.Containers[i]
		if container != "" && one.Name != container {
			continue
		}
		found = true
		if request, ok := one.Resources.Requests[name]; ok {
			requested += inUnits(name, &request)
		} else if err == nil {
			err = fmt.Errorf("missing request for %s in container %s of Pod %s", name, one.Name, pod.Name)
		}
		use, ok := s.Containers[Container{Namespace: pod.Namespace, Pod: pod.Name, Name: one.Name}]
		if !ok {
			return 0, 0, false, err
		}
		if name == corev1.ResourceMemory {
			used += float64(use.Memory)
		} else {
			used += float64(use.MilliCPU)
		}
	}
	if !found {
		return 0, 0, false, fmt.Errorf("container %s not present in metrics for pod %s/%s", container, pod.Namespace, pod.Name)
	}
	return used, requested, true, err
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
		r, ok := s.Requests[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]
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
	average := m.Load / float64(m.Ready-m.Missed)
	current.AverageValue = m.quantity(average)
	if m.requested > 0 {
		percent := int32(math.Round(100 * m.Load / m.requested))
		current.AverageUtilization = &percent
	}
	return current
}

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
