package autoscaler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"covey.dev/covey/scheduler/autoscale"
)

// event is something that users should see on an autoscaler.
type event struct{ kind, reason, message string }

// decide takes one step of one autoscaler, and reports whether there is anything to write.
func (a *Autoscaler) decide(c *scaling, samples Samples, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.running[c.hpa.UID]
	if w == nil {
		return false // it has gone meanwhile
	}
	c.status = *c.hpa.Status.DeepCopy()
	c.status.ObservedGeneration = ptr.To(c.hpa.Generation)
	switch {
	case c.err != nil:
		c.condition(now, autoscalingv2.AbleToScale, false, "FailedGetScale",
			"the HPA controller was unable to get the target's current scale: "+c.err.Error())
		w.seen = Observation{}
	case len(c.rivals) > 1:
		c.condition(now, autoscalingv2.AbleToScale, true, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
		c.condition(now, autoscalingv2.ScalingActive, false, "AmbiguousSelector",
			fmt.Sprintf("%s %s is scaled by several HPAs: %s; delete all but one", c.hpa.Spec.ScaleTargetRef.Kind, c.key.Name, strings.Join(c.rivals, ", ")))
		c.status.CurrentReplicas, c.status.DesiredReplicas, c.status.CurrentMetrics = c.current, c.current, nil
		w.seen = Observation{}
	case c.current == 0 && c.rules.Min > 0:
		c.condition(now, autoscalingv2.AbleToScale, true, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
		c.condition(now, autoscalingv2.ScalingActive, false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		c.status.CurrentReplicas, c.status.DesiredReplicas, c.status.CurrentMetrics = 0, 0, nil
		w.scaler, w.seen = autoscale.Scaler{}, Observation{}
	default:
		c.decide(w, samples, now)
	}
	return w.worthWriting(c, now)
}

func (c *scaling) decide(w *workload, samples Samples, now time.Time) {
	w.follow(c)
	measured := make([]autoscale.Measurement, len(c.hpa.Spec.Metrics))
	c.metrics = make([]metric, len(measured))
	for i := range measured {
		c.metrics[i] = c.measure(&c.hpa.Spec.Metrics[i], samples)
		measured[i] = c.metrics[i].Measurement
		if c.metrics[i].err != nil {
			measured[i].Target = 0
		}
	}
	c.decision = w.scaler.Decide(now, c.rules, c.current, measured)
	c.estimates = slices.Clone(w.scaler.Estimates())
	c.status.CurrentReplicas, c.status.DesiredReplicas = c.current, c.decision.Replicas
	w.observe(c)
	waits := slices.ContainsFunc(c.metrics, func(m metric) bool { return errors.Is(m.err, errNotYet) })
	if w.unknown.lasts(waits, now, tellUnknown) || !waits {
		c.tellMetrics()
		c.tellActive(now)
	}
	c.tellLimits(now)
	if c.decision.Replicas != c.current {
		c.tellRescale(now)
	}
}

// tellMetrics shows what was measured; a metric that is not known has an empty place.
func (c *scaling) tellMetrics() {
	c.status.CurrentMetrics = make([]autoscalingv2.MetricStatus, len(c.metrics))
	for i := range c.metrics {
		if c.metrics[i].err == nil {
			c.status.CurrentMetrics[i] = c.metrics[i].status()
		}
	}
}

// observe keeps what the step came to.
func (w *workload) observe(c *scaling) {
	w.seen = Observation{Namespace: c.hpa.Namespace, Name: c.hpa.Name, Wanted: c.decision.Wanted, Held: c.decision.Replicas}
	if i := c.decision.Metric; i >= 0 {
		w.seen.Load, w.seen.Target = c.metrics[i].Load, c.metrics[i].Target
		w.seen.Estimate, _ = c.estimates[i].Value()
	}
}

// tellActive says whether, and of what, a size could be computed.
func (c *scaling) tellActive(now time.Time) {
	if i := c.decision.Metric; i >= 0 && c.decision.Held != autoscale.Unknown {
		c.condition(now, autoscalingv2.ScalingActive, true, "ValidMetricFound",
			fmt.Sprintf("the HPA was able to successfully calculate a replica count from %s; %s", c.metrics[i].what(), c.numbers(i)))
		return
	}
	if c.current == 0 {
		c.condition(now, autoscalingv2.ScalingActive, true, "ScaledToZero", "there are no replicas, and nothing asks for one")
		return
	}
	reason, message := "FailedGetMetrics", "there is no metric"
	for i := range c.metrics { // one that is known and wants less is no reason to shrink
		if err := c.metrics[i].err; err != nil {
			reason = map[autoscalingv2.MetricSourceType]string{
				autoscalingv2.ResourceMetricSourceType: "FailedGetResourceMetric", autoscalingv2.PodsMetricSourceType: "FailedGetPodsMetric",
				autoscalingv2.ContainerResourceMetricSourceType: "FailedGetContainerResourceMetric",
			}[c.metrics[i].spec.Type]
			message = fmt.Sprintf("the HPA was unable to compute the replica count: failed to get %s: %v", c.metrics[i].what(), err)
			break
		}
	}
	c.condition(now, autoscalingv2.ScalingActive, false, reason, message)
}

// numbers are what was measured and estimated, and what follows.
func (c *scaling) numbers(i int) string {
	m := &c.metrics[i]
	lambda, _ := c.estimates[i].Value()
	return fmt.Sprintf("measured %s, estimated %s (weight of the past %g), wanted %s per replica: %d",
		m.quantity(m.Load), m.quantity(lambda), c.rules.Alpha, m.quantity(m.Target), c.decision.Wanted)
}

// tellLimits says what kept the size from what is wanted.
func (c *scaling) tellLimits(now time.Time) {
	able, message := "ReadyForNewScale", "recommended size matches current size"
	if c.decision.Held == autoscale.ByWindow {
		if c.decision.Replicas > c.decision.Wanted {
			able, message = "ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation"
		} else {
			able, message = "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation"
		}
	}
	c.condition(now, autoscalingv2.AbleToScale, true, able, message)
	c.tellLimited(now)
}

func (c *scaling) tellLimited(now time.Time) {
	limited := true
	var reason, message string
	switch held := c.decision.Held; {
	case held == autoscale.AtMax:
		reason, message = "TooManyReplicas", "the desired replica count is more than the maximum replica count"
	case held == autoscale.AtMin:
		reason, message = "TooFewReplicas", "the desired replica count is less than the minimum replica count"
	case held == autoscale.ByPolicy && c.decision.Replicas < c.decision.Wanted:
		reason, message = "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
	case held == autoscale.ByPolicy:
		reason, message = "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"
	default:
		limited, reason, message = false, "DesiredWithinRange", "the desired count is within the acceptable range"
	}
	c.condition(now, autoscalingv2.ScalingLimited, limited, reason, message)
}

// tellRescale says that the size changes, and why.
func (c *scaling) tellRescale(now time.Time) {
	why := "All metrics below target"
	switch i := c.decision.Metric; {
	case c.current > c.rules.Max:
		why = "Current number of replicas above Spec.MaxReplicas"
	case c.current < c.rules.Min:
		why = "Current number of replicas below Spec.MinReplicas"
	case i >= 0 && c.decision.Replicas > c.current:
		why = c.metrics[i].what() + " above target"
	}
	if i := c.decision.Metric; i >= 0 {
		why += "; " + c.numbers(i)
	}
	c.status.LastScaleTime = &metav1.Time{Time: now}
	c.condition(now, autoscalingv2.AbleToScale, true, "SucceededRescale",
		fmt.Sprintf("the HPA controller was able to update the target scale to %d", c.decision.Replicas))
	c.events = append(c.events, event{corev1.EventTypeNormal, "SuccessfulRescale", fmt.Sprintf("New size: %d; reason: %s", c.decision.Replicas, why)})
}
