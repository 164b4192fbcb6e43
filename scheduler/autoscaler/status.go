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
	// tellEvery is how often a status is written when only what is measured has changed.
	tellEvery = 15 * time.Second
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

// worthWriting reports whether the status says something new.
func (w *workload) worthWriting(c *scaling, now time.Time) bool {
	was, is := &c.hpa.Status, &c.status
	if is.CurrentReplicas != was.CurrentReplicas || is.DesiredReplicas != was.DesiredReplicas || len(c.events) > 0 ||
		ptr.Deref(is.ObservedGeneration, 0) != ptr.Deref(was.ObservedGeneration, 0) || !sameConditions(was.Conditions, is.Conditions) ||
		len(is.CurrentMetrics) != len(was.CurrentMetrics) {
		w.written = now
		return true
	}
	if now.Sub(w.written) < tellEvery || !c.differs() {
		return false
	}
	w.written = now
	return true
}

func sameConditions(was, is []autoscalingv2.HorizontalPodAutoscalerCondition) bool {
	return slices.EqualFunc(was, is, func(a, b autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason
	})
}

// differs reports whether what is measured is far from what the status shows.
func (c *scaling) differs() bool {
	known := slices.DeleteFunc(slices.Clone(c.metrics), func(m metric) bool { return m.err != nil })
	for i := range known {
		m := &known[i]
		shown := valueOf(&c.hpa.Status.CurrentMetrics[i])
		if shown == nil || shown.AverageValue == nil {
			return true
		}
		now := m.Load / float64(m.Ready-m.Missed)
		before := shown.AverageValue.AsApproximateFloat64()
		if !m.isMemory() && m.spec.Pods == nil {
			before *= 1000
		}
		if math.Abs(now-before) > tellDifference*m.Target {
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
