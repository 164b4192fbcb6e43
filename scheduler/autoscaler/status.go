package autoscaler

import (
	"math"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	// tellValues is how long what is measured has to differ from what the status shows before it is written for that.
	tellValues = 15 * time.Second
	// tellUnknown is how long a metric is not known before that is told: the first replica, and a new leader, need a measurement.
	tellUnknown = 15 * time.Second
	// tellReasons is the same for what bounds the size: a load on an edge changes that with each measurement.
	tellReasons = time.Minute
	// tellDifference is the part of the target by which what is measured has to differ from what is shown to be written.
	tellDifference = 0.1
)

// condition sets a condition; its time changes with its status. A failure that is new is an event too.
func (c *scaling) condition(now time.Time, kind autoscalingv2.HorizontalPodAutoscalerConditionType, holds bool, reason, message string) {
	status := corev1.ConditionFalse
	if holds {
		status = corev1.ConditionTrue
	}
	next := autoscalingv2.HorizontalPodAutoscalerCondition{
		Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now),
	}
	i := slices.IndexFunc(c.status.Conditions, func(is autoscalingv2.HorizontalPodAutoscalerCondition) bool { return is.Type == kind })
	if i < 0 {
		c.status.Conditions = append(c.status.Conditions, next)
	} else {
		was := c.status.Conditions[i]
		if was.Status == status {
			next.LastTransitionTime = was.LastTransitionTime
		}
		c.status.Conditions[i] = next
		if was.Reason == reason {
			return
		}
	}
	if !holds && kind != autoscalingv2.ScalingLimited && reason != "ScalingDisabled" {
		c.events = append(c.events, event{corev1.EventTypeWarning, reason, message})
	}
}

// since is the time from which something has held; zero while it does not.
type since struct{ time.Time }

// lasts reports whether something holds and has held for a time.
func (s *since) lasts(holds bool, now time.Time, long time.Duration) bool {
	switch {
	case !holds:
		s.Time = time.Time{}
	case s.IsZero():
		s.Time = now
	}
	return holds && now.Sub(s.Time) >= long
}

// worthWriting reports whether the status says something new. What comes and goes with the noise of a load does not: reasons and
// values have to differ for a time.
func (w *workload) worthWriting(c *scaling, now time.Time) bool {
	was, is := &c.hpa.Status, &c.status
	reasons := w.reasons.lasts(!sameConditions(was.Conditions, is.Conditions), now, tellReasons)
	values := w.values.lasts(c.differs(), now, tellValues)
	if !reasons && !values && is.CurrentReplicas == was.CurrentReplicas && is.DesiredReplicas == was.DesiredReplicas && len(c.events) == 0 &&
		ptr.Deref(is.ObservedGeneration, 0) == ptr.Deref(was.ObservedGeneration, 0) &&
		sameConditions(urgent(was.Conditions), urgent(is.Conditions)) && sameMetrics(was.CurrentMetrics, is.CurrentMetrics) {
		return false
	}
	w.reasons, w.values = since{}, since{}
	return true
}

// urgent is what of the conditions users have to see at once: whether they hold, and why there is no scaling.
func urgent(all []autoscalingv2.HorizontalPodAutoscalerCondition) []autoscalingv2.HorizontalPodAutoscalerCondition {
	var out []autoscalingv2.HorizontalPodAutoscalerCondition
	for _, c := range all {
		if c.Type == autoscalingv2.ScalingLimited {
			c.Status, c.Reason = "", ""
		}
		if c.Status == corev1.ConditionTrue {
			c.Reason = ""
		}
		out = append(out, c)
	}
	return out
}

func sameConditions(was, is []autoscalingv2.HorizontalPodAutoscalerCondition) bool {
	return slices.EqualFunc(was, is, func(a, b autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason
	})
}

// sameMetrics reports whether the same metrics are known.
func sameMetrics(was, is []autoscalingv2.MetricStatus) bool {
	return slices.EqualFunc(was, is, func(a, b autoscalingv2.MetricStatus) bool { return a.Type == b.Type })
}

// differs reports whether what is measured, or the estimate, is far from what is written.
func (c *scaling) differs() bool {
	shown, estimates := c.hpa.Status.CurrentMetrics, written(c.hpa)
	if len(shown) != len(c.metrics) {
		return false // sameMetrics sees that
	}
	for i := range c.metrics {
		m := &c.metrics[i]
		value := valueOf(&shown[i])
		if m.err != nil || value == nil || value.AverageValue == nil {
			continue // sameMetrics has seen what is known now and was not
		}
		before := value.AverageValue.AsApproximateFloat64()
		if !m.isMemory() && m.spec.Pods == nil {
			before *= 1000
		}
		far := tellDifference * m.Target
		lambda, _ := c.estimates[i].Value()
		old, _ := estimates[metricKey(m.spec)].Value()
		if math.Abs(m.average()-before) > far || math.Abs(lambda-old) > far*float64(max(1, c.current)) {
			return true
		}
	}
	return false
}

func valueOf(s *autoscalingv2.MetricStatus) *autoscalingv2.MetricValueStatus {
	switch {
	case s.Resource != nil:
		return &s.Resource.Current
	case s.ContainerResource != nil:
		return &s.ContainerResource.Current
	case s.Pods != nil:
		return &s.Pods.Current
	}
	return nil
}
