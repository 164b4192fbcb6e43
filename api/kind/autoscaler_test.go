package kind

import (
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestAnAutoscalerIsValidated(t *testing.T) {
	type hpa = autoscalingv2.HorizontalPodAutoscaler
	note := func(name, value string) func(*hpa) {
		return func(h *hpa) { h.Annotations = map[string]string{name: value} }
	}
	up := func(change func(*autoscalingv2.HPAScalingRules)) func(*hpa) {
		return func(h *hpa) { change(h.Spec.Behavior.ScaleUp) }
	}
	for name, c := range map[string]struct {
		change func(*hpa)
		says   string // "" for nothing
	}{
		"as it is":           {func(*hpa) {}, ""},
		"alpha 0":            {note(EWMAAlpha, "0"), ""},
		"alpha 1":            {note(EWMAAlpha, "1"), ""},
		"alpha above 1":      {note(EWMAAlpha, "1.01"), `metadata.annotations[covey.dev/ewma-alpha]: Invalid value: "1.01": must be a number from 0 to 1`},
		"alpha below 0":      {note(EWMAAlpha, "-0.1"), "must be a number from 0 to 1"},
		"alpha of no number": {note(EWMAAlpha, "a fifth"), "must be a number from 0 to 1"},
		"alpha not a number": {note(EWMAAlpha, "NaN"), "must be a number from 0 to 1"},
		"step 300":           {note(EWMAStep, "300"), ""},
		"step 0":             {note(EWMAStep, "0"), `metadata.annotations[covey.dev/ewma-step]: Invalid value: "0": must be a number of seconds from 1 to 300`},
		"step with a unit":   {note(EWMAStep, "5s"), "must be a number of seconds from 1 to 300, such as 5"},
		"none as the least":  {func(h *hpa) { h.Spec.MinReplicas = ptr.To[int32](0) }, ""},
		"the most below":     {func(h *hpa) { h.Spec.MaxReplicas = 1 }, "spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`"},
		"tolerance":          {up(func(r *autoscalingv2.HPAScalingRules) { r.Tolerance = ptr.To(quantity.MustParse("0.05")) }), ""},
		"tolerance below 0":  {up(func(r *autoscalingv2.HPAScalingRules) { r.Tolerance = ptr.To(quantity.MustParse("-0.05")) }), "spec.behavior.scaleUp.tolerance"},
		"window":             {up(func(r *autoscalingv2.HPAScalingRules) { r.StabilizationWindowSeconds = ptr.To[int32](3601) }), "must be between 0 and 3600"},
		"no policies":        {up(func(r *autoscalingv2.HPAScalingRules) { r.Policies = nil }), "must specify at least one Policy"},
		"period":             {up(func(r *autoscalingv2.HPAScalingRules) { r.Policies[0].PeriodSeconds = 1801 }), "must be between 1 and 1800"},
		"choice of policies": {up(func(r *autoscalingv2.HPAScalingRules) {
			r.SelectPolicy = ptr.To[autoscalingv2.ScalingPolicySelect]("Some")
		}), `supported values: "Max", "Min", "Disabled"`},
		"another metric of pods": {func(h *hpa) {
			h.Spec.Metrics[0] = autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: "queue_length"},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(quantity.MustParse("3"))},
			}}
		}, `Unsupported value: "queue_length": supported values: "requests_per_second", "requests_in_flight"`},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hpa{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
				Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
					ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
					MinReplicas:    ptr.To[int32](2), MaxReplicas: 5,
					Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
						Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](50)},
					}}},
					Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: &autoscalingv2.HPAScalingRules{
						Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 2, PeriodSeconds: 60}},
					}},
				},
			}
			c.change(h)
			errs := horizontalPodAutoscalerKind().Validate(h).ToAggregate()
			if c.says == "" && errs != nil || c.says != "" && (errs == nil || !strings.Contains(errs.Error(), c.says)) {
				t.Errorf("%v, want %q", errs, c.says)
			}
		})
	}
}
