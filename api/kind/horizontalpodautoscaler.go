package kind

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
)

func horizontalPodAutoscalerKind() *Kind {
	k := base[autoscalingv2.HorizontalPodAutoscaler, autoscalingv2.HorizontalPodAutoscalerList](
		autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"), "horizontalpodautoscalers", "horizontalpodautoscaler", "hpa")
	k.Categories = []string{"all"}
	k.PrepareCreate = func(obj Object, _ time.Time) {
		h := obj.(*autoscalingv2.HorizontalPodAutoscaler)
		h.Status, h.Generation = autoscalingv2.HorizontalPodAutoscalerStatus{}, 1
	}
	k.PrepareUpdate = onBoth(func(h, old *autoscalingv2.HorizontalPodAutoscaler) {
		h.Status, h.Generation = old.Status, old.Generation
		if !equality.Semantic.DeepEqual(h.Spec, old.Spec) {
			h.Generation++
		}
	})
	k.PrepareStatus = onBoth(func(h, old *autoscalingv2.HorizontalPodAutoscaler) { h.Spec = old.Spec })
	meta := field.NewPath("metadata")
	k.Validate = func(obj Object) field.ErrorList {
		h := obj.(*autoscalingv2.HorizontalPodAutoscaler)
		return append(corevalidation.ValidateObjectMeta(&h.ObjectMeta, true, apivalidation.NameIsDNSSubdomain, meta), validateAutoscaler(h)...)
	}
	update := func(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
		return corevalidation.ValidateObjectMetaUpdate(&h.ObjectMeta, &old.ObjectMeta, meta)
	}
	k.ValidateUpdate = func(obj, old Object) field.ErrorList {
		h := obj.(*autoscalingv2.HorizontalPodAutoscaler)
		return append(update(h, old.(*autoscalingv2.HorizontalPodAutoscaler)), validateAutoscaler(h)...)
	}
	k.HasStatus = true
	k.ValidateStatus = func(obj, old Object) field.ErrorList {
		h := obj.(*autoscalingv2.HorizontalPodAutoscaler)
		return append(update(h, old.(*autoscalingv2.HorizontalPodAutoscaler)), validateAutoscalerStatus(h)...)
	}
	selectable[*autoscalingv2.HorizontalPodAutoscaler](k, nil)
	k.Columns = []metav1.TableColumnDefinition{
		nameColumn(),
		text("Reference", autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()["scaleTargetRef"]),
		text("Targets", autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()["metrics"]),
		text("MinPods", autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()["minReplicas"]),
		text("MaxPods", autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()["maxReplicas"]),
		text("Replicas", autoscalingv2.HorizontalPodAutoscalerStatus{}.SwaggerDoc()["currentReplicas"]),
		ageColumn(),
	}
	k.Row = rowOf(autoscalerRow)
	return k
}

func autoscalerRow(h *autoscalingv2.HorizontalPodAutoscaler, now time.Time) []any {
	minimum := "<unset>"
	if h.Spec.MinReplicas != nil {
		minimum = fmt.Sprint(*h.Spec.MinReplicas)
	}
	return []any{
		h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name, targetsCell(h),
		minimum, fmt.Sprint(h.Spec.MaxReplicas), fmt.Sprint(h.Status.CurrentReplicas), age(h, now),
	}
}

// mostTargets is how many metrics kubectl shows.
const mostTargets = 2

// targetsCell shows what is and what is wanted of each metric: "cpu: 40%/80%".
func targetsCell(h *autoscalingv2.HorizontalPodAutoscaler) string {
	if len(h.Spec.Metrics) == 0 {
		return none
	}
	var cells []string
	for i, m := range h.Spec.Metrics {
		var status autoscalingv2.MetricStatus
		if i < len(h.Status.CurrentMetrics) {
			status = h.Status.CurrentMetrics[i]
		}
		cells = append(cells, targetCell(m, status))
	}
	if more := len(cells) - mostTargets; more > 0 {
		return strings.Join(cells[:mostTargets], ", ") + fmt.Sprintf(" + %d more...", more)
	}
	return strings.Join(cells, ", ")
}

func targetCell(m autoscalingv2.MetricSpec, status autoscalingv2.MetricStatus) string {
	switch {
	case m.Resource != nil:
		var now *autoscalingv2.MetricValueStatus
		if status.Resource != nil {
			now = &status.Resource.Current
		}
		return fmt.Sprintf("%s: %s", m.Resource.Name, valueCell(now, m.Resource.Target))
	case m.ContainerResource != nil:
		var now *autoscalingv2.MetricValueStatus
		if status.ContainerResource != nil {
			now = &status.ContainerResource.Current
		}
		return fmt.Sprintf("%s: %s", m.ContainerResource.Name, valueCell(now, m.ContainerResource.Target))
	case m.Pods != nil:
		var now *autoscalingv2.MetricValueStatus
		if status.Pods != nil {
			now = &status.Pods.Current
		}
		return valueCell(now, m.Pods.Target)
	}
	return "<unknown type>"
}

func valueCell(now *autoscalingv2.MetricValueStatus, target autoscalingv2.MetricTarget) string {
	current := unknown
	if target.AverageUtilization != nil {
		if now != nil && now.AverageUtilization != nil {
			current = fmt.Sprintf("%d%%", *now.AverageUtilization)
		}
		return fmt.Sprintf("%s/%d%%", current, *target.AverageUtilization)
	}
	if now != nil && now.AverageValue != nil {
		current = now.AverageValue.String()
	}
	return current + "/" + target.AverageValue.String()
}

// horizontalPodAutoscalerV1Kind is version 1, which knows the processor's use alone; the rest is in annotations of it.
func horizontalPodAutoscalerV1Kind(stored *Kind) *Kind {
	k := version[autoscalingv1.HorizontalPodAutoscaler, autoscalingv1.HorizontalPodAutoscalerList, autoscaling.HorizontalPodAutoscaler](
		stored, autoscalingv1.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"))
	convertible := k.Stored.check
	k.Stored.check = func(obj Object) error { return cmp.Or(checkAnnotations(obj.GetAnnotations()), convertible(obj)) }
	return k
}

// checkAnnotations refuses what Kubernetes' conversion would drop without a word.
func checkAnnotations(annotations map[string]string) error {
	for name, into := range map[string]any{
		autoscaling.MetricSpecsAnnotation:                       new([]autoscalingv1.MetricSpec),
		autoscaling.BehaviorSpecsAnnotation:                     new(autoscaling.HorizontalPodAutoscalerBehavior),
		autoscaling.MetricStatusesAnnotation:                    new([]autoscalingv1.MetricStatus),
		autoscaling.HorizontalPodAutoscalerConditionsAnnotation: new([]autoscalingv1.HorizontalPodAutoscalerCondition),
	} {
		if text, ok := annotations[name]; ok {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				return fmt.Errorf("metadata.annotations[%s]: %w; it has what version 1 has no fields for, use autoscaling/v2 to change it", name, err)
			}
		}
	}
	return nil
}
