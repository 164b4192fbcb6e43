package kind

import (
	"fmt"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Kubernetes' own validation of autoscalers comes with its whole API server, so the rules are written here. What covey allows
// beyond them: none as the least number of replicas, whatever is measured. What it refuses beyond them: Object and
// External metrics, which nobody serves here.

// The longest that a rule may look back, in seconds, as in Kubernetes.
const (
	mostStabilization = 3600
	mostPeriod        = 1800
)

// measured are the names of the Pods metrics that covey measures.
var measured = []string{"requests_per_second", "requests_in_flight"}

func validateAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateTarget(h.Spec.ScaleTargetRef, spec.Child("scaleTargetRef"))
	least := int32(0)
	if h.Spec.MinReplicas != nil {
		least = *h.Spec.MinReplicas
		if least < 0 {
			errs = append(errs, field.Invalid(spec.Child("minReplicas"), least, "must be greater than or equal to 0"))
		}
	}
	if h.Spec.MaxReplicas < 1 {
		errs = append(errs, field.Invalid(spec.Child("maxReplicas"), h.Spec.MaxReplicas, "must be greater than 0"))
	}
	if h.Spec.MaxReplicas < least {
		errs = append(errs, field.Invalid(spec.Child("maxReplicas"), h.Spec.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	for i := range h.Spec.Metrics {
		errs = append(errs, validateMetric(&h.Spec.Metrics[i], spec.Child("metrics").Index(i))...)
	}
	if b := h.Spec.Behavior; b != nil {
		errs = append(errs, validateRules(b.ScaleUp, spec.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateRules(b.ScaleDown, spec.Child("behavior", "scaleDown"))...)
	}
	return append(errs, validateEWMA(h.Annotations)...)
}

func validateTarget(ref autoscalingv2.CrossVersionObjectReference, path *field.Path) field.ErrorList {
	errs := append(validateSegment(ref.Kind, path.Child("kind")), validateSegment(ref.Name, path.Child("name"))...)
	if _, err := schema.ParseGroupVersion(ref.APIVersion); err != nil {
		errs = append(errs, field.Invalid(path.Child("apiVersion"), ref.APIVersion, err.Error()))
	}
	return errs
}

// validateSegment is for names that must be there and may stand in a path.
func validateSegment(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	for _, problem := range content.IsPathSegmentName(name) {
		errs = append(errs, field.Invalid(path, name, problem))
	}
	return errs
}

func validateMetric(m *autoscalingv2.MetricSpec, path *field.Path) field.ErrorList {
	sources := map[autoscalingv2.MetricSourceType]bool{
		autoscalingv2.ResourceMetricSourceType: m.Resource != nil, autoscalingv2.ContainerResourceMetricSourceType: m.ContainerResource != nil,
		autoscalingv2.PodsMetricSourceType: m.Pods != nil, autoscalingv2.ObjectMetricSourceType: m.Object != nil,
		autoscalingv2.ExternalMetricSourceType: m.External != nil,
	}
	set, known := sources[m.Type]
	var errs field.ErrorList
	switch {
	case m.Type == "":
		return field.ErrorList{field.Required(path.Child("type"), "must specify a metric source type")}
	case !known:
		return field.ErrorList{field.NotSupported(path.Child("type"), m.Type, measurable)}
	case m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType:
		return field.ErrorList{field.Invalid(path.Child("type"), m.Type, "covey measures Resource, ContainerResource and Pods metrics only")}
	case !set:
		errs = append(errs, field.Required(path.Child(sourceField(m.Type)), "must populate information for the given metric source"))
	}
	for source, there := range sources {
		if there && source != m.Type {
			errs = append(errs, field.Forbidden(path.Child(sourceField(source)), "must populate the given metric source only"))
		}
	}
	return append(errs, validateSource(m, path)...)
}

var measurable = []autoscalingv2.MetricSourceType{
	autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType,
}

// sourceField is the field of a MetricSpec that a source is described in.
func sourceField(source autoscalingv2.MetricSourceType) string {
	if source == autoscalingv2.ContainerResourceMetricSourceType {
		return "containerResource"
	}
	return map[autoscalingv2.MetricSourceType]string{
		autoscalingv2.ResourceMetricSourceType: "resource", autoscalingv2.PodsMetricSourceType: "pods",
		autoscalingv2.ObjectMetricSourceType: "object", autoscalingv2.ExternalMetricSourceType: "external",
	}[source]
}

func validateSource(m *autoscalingv2.MetricSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r := m.Resource; r != nil {
		path := path.Child("resource")
		errs = append(errs, validateResource(r.Name, path.Child("name"))...)
		errs = append(errs, validateResourceTarget(r.Target, path.Child("target"))...)
	}
	if r := m.ContainerResource; r != nil {
		path := path.Child("containerResource")
		errs = append(errs, validateResource(r.Name, path.Child("name"))...)
		if r.Container == "" {
			errs = append(errs, field.Required(path.Child("container"), "must specify a container"))
		} else {
			for _, problem := range validation.IsDNS1123Label(r.Container) {
				errs = append(errs, field.Invalid(path.Child("container"), r.Container, problem))
			}
		}
		errs = append(errs, validateResourceTarget(r.Target, path.Child("target"))...)
	}
	if p := m.Pods; p != nil {
		path := path.Child("pods")
		switch {
		case p.Metric.Name == "":
			errs = append(errs, field.Required(path.Child("metric", "name"), "must specify a metric name"))
		case !slices.Contains(measured, p.Metric.Name):
			errs = append(errs, field.NotSupported(path.Child("metric", "name"), p.Metric.Name, measured))
		}
		if p.Metric.Selector != nil {
			errs = append(errs, field.Forbidden(path.Child("metric", "selector"), "covey's metrics of pods have no labels to select by"))
		}
		errs = append(errs, validateValues(p.Target, path.Child("target"))...)
		if p.Target.AverageValue == nil {
			errs = append(errs, field.Required(path.Child("target", "averageValue"), "must specify a positive target averageValue"))
		}
	}
	return errs
}

func validateResource(name corev1.ResourceName, path *field.Path) field.ErrorList {
	measured := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	switch {
	case name == "":
		return field.ErrorList{field.Required(path, "must specify a resource name")}
	case !slices.Contains(measured, name):
		return field.ErrorList{field.NotSupported(path, name, measured)}
	}
	return nil
}

func validateResourceTarget(t autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	errs := validateValues(t, path)
	switch {
	case t.AverageUtilization == nil && t.AverageValue == nil:
		errs = append(errs, field.Required(path.Child("averageUtilization"), "must set either a target raw value or a target utilization"))
	case t.AverageUtilization != nil && t.AverageValue != nil:
		errs = append(errs, field.Forbidden(path.Child("averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

func validateValues(t autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch t.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.AverageValueMetricType, autoscalingv2.ValueMetricType:
	case "":
		errs = append(errs, field.Required(path.Child("type"), "must specify a metric target type"))
	default:
		errs = append(errs, field.Invalid(path.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue"))
	}
	if t.Value != nil {
		errs = append(errs, field.Forbidden(path.Child("value"), "a total is for Object and External metrics; set averageValue"))
	}
	if t.AverageValue != nil && t.AverageValue.Sign() != 1 {
		errs = append(errs, field.Invalid(path.Child("averageValue"), t.AverageValue, "must be positive"))
	}
	if t.AverageUtilization != nil && *t.AverageUtilization < 1 {
		errs = append(errs, field.Invalid(path.Child("averageUtilization"), *t.AverageUtilization, "must be greater than 0"))
	}
	return errs
}

func validateRules(r *autoscalingv2.HPAScalingRules, path *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if w := r.StabilizationWindowSeconds; w != nil && (*w < 0 || *w > mostStabilization) {
		errs = append(errs, field.Invalid(path.Child("stabilizationWindowSeconds"), *w, fmt.Sprintf("must be between 0 and %d", mostStabilization)))
	}
	choices := []autoscalingv2.ScalingPolicySelect{autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect, autoscalingv2.DisabledPolicySelect}
	if r.SelectPolicy != nil && !slices.Contains(choices, *r.SelectPolicy) {
		errs = append(errs, field.NotSupported(path.Child("selectPolicy"), *r.SelectPolicy, choices))
	}
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(path.Child("policies"), "must specify at least one Policy"))
	}
	for i, p := range r.Policies {
		path := path.Child("policies").Index(i)
		types := []autoscalingv2.HPAScalingPolicyType{autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy}
		if !slices.Contains(types, p.Type) {
			errs = append(errs, field.NotSupported(path.Child("type"), p.Type, types))
		}
		if p.Value <= 0 {
			errs = append(errs, field.Invalid(path.Child("value"), p.Value, "must be greater than zero"))
		}
		if p.PeriodSeconds <= 0 || p.PeriodSeconds > mostPeriod {
			errs = append(errs, field.Invalid(path.Child("periodSeconds"), p.PeriodSeconds, fmt.Sprintf("must be between 1 and %d", mostPeriod)))
		}
	}
	if r.Tolerance != nil && r.Tolerance.Sign() < 0 {
		errs = append(errs, field.Invalid(path.Child("tolerance"), r.Tolerance, "must be greater than or equal to 0"))
	}
	return errs
}

func validateAutoscalerStatus(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	status := field.NewPath("status")
	return append(apivalidation.ValidateNonnegativeField(int64(h.Status.CurrentReplicas), status.Child("currentReplicas")),
		apivalidation.ValidateNonnegativeField(int64(h.Status.DesiredReplicas), status.Child("desiredReplicas"))...)
}
