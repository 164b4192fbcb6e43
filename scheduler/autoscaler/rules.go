package autoscaler

import (
	"strconv"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"covey.dev/covey/scheduler/autoscale"
)

// The annotations of an autoscaler that set its moving average; the API has checked them.
const (
	alphaNote = "covey.dev/ewma-alpha"
	stepNote  = "covey.dev/ewma-step"
)

// defaultStep is how long it is from one measurement to the next.
const defaultStep = 5 * time.Second

func stepOf(h *autoscalingv2.HorizontalPodAutoscaler) time.Duration {
	if seconds, err := strconv.Atoi(h.Annotations[stepNote]); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return defaultStep
}

// rulesOf are the rules of an autoscaler's spec, with Kubernetes' defaults.
func rulesOf(h *autoscalingv2.HorizontalPodAutoscaler) *autoscale.Rules {
	r := &autoscale.Rules{Min: 1, Max: h.Spec.MaxReplicas, Alpha: autoscale.DefaultAlpha, Up: autoscale.DefaultUp(), Down: autoscale.DefaultDown()}
	if h.Spec.MinReplicas != nil {
		r.Min = *h.Spec.MinReplicas
	}
	if alpha, err := strconv.ParseFloat(h.Annotations[alphaNote], 64); err == nil {
		r.Alpha = alpha
	}
	if b := h.Spec.Behavior; b != nil {
		set(&r.Up, b.ScaleUp)
		set(&r.Down, b.ScaleDown)
	}
	return r
}

func set(d *autoscale.Direction, rules *autoscalingv2.HPAScalingRules) {
	if rules == nil {
		return
	}
	if rules.StabilizationWindowSeconds != nil {
		d.Window = time.Duration(*rules.StabilizationWindowSeconds) * time.Second
	}
	if rules.Tolerance != nil {
		d.Tolerance = rules.Tolerance.AsApproximateFloat64()
	}
	if rules.SelectPolicy != nil {
		d.Select = autoscale.Select(*rules.SelectPolicy)
	}
	if len(rules.Policies) > 0 {
		d.Policies = nil
	}
	for _, p := range rules.Policies {
		d.Policies = append(d.Policies, autoscale.Policy{
			Percent: p.Type == autoscalingv2.PercentScalingPolicy, Value: p.Value, Period: time.Duration(p.PeriodSeconds) * time.Second,
		})
	}
}
