package autoscaler

import (
	"maps"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	quantity "k8s.io/apimachinery/pkg/api/resource"

	"covey.dev/covey/scheduler/autoscale"
)

// estimateNote is the annotation in which an autoscaler's estimates travel to the next leader, written with the status:
// "cpu=412m,requests_per_second=27500m".
const estimateNote = "covey.dev/ewma-estimate"

// metricKey names a metric, and with it the unit of its load.
func metricKey(m *autoscalingv2.MetricSpec) string {
	switch {
	case m.Resource != nil:
		return string(m.Resource.Name)
	case m.ContainerResource != nil:
		return m.ContainerResource.Container + "/" + string(m.ContainerResource.Name)
	case m.Pods != nil:
		return m.Pods.Metric.Name
	}
	return ""
}

// follow has the scaler go on where this is the same question as before: a new leader with the estimates that the last one
// wrote, a metric that was not asked for with none, another target with nothing.
func (w *workload) follow(c *scaling) {
	defer func() { w.hpa, w.target = c.hpa, c.uid }()
	estimates := written(c.hpa)
	if w.hpa != nil {
		if w.target != c.uid {
			w.scaler = autoscale.Scaler{}
		}
		if w.hpa.Generation == c.hpa.Generation || equality.Semantic.DeepEqual(w.hpa.Spec.Metrics, c.hpa.Spec.Metrics) {
			return
		}
		estimates = w.estimates()
	}
	averages := make([]autoscale.Average, len(c.hpa.Spec.Metrics))
	for i := range averages {
		averages[i] = estimates[metricKey(&c.hpa.Spec.Metrics[i])]
	}
	w.scaler.Resume(averages)
}

// estimates are those of the last step, by their metrics' keys.
func (w *workload) estimates() map[string]autoscale.Average {
	out := map[string]autoscale.Average{}
	for i, average := range w.scaler.Estimates() {
		out[metricKey(&w.hpa.Spec.Metrics[i])] = average
	}
	return out
}

// written are the estimates that an autoscaler's annotation tells. What cannot be read is not known.
func written(h *autoscalingv2.HorizontalPodAutoscaler) map[string]autoscale.Average {
	out := map[string]autoscale.Average{}
	for part := range strings.SplitSeq(h.Annotations[estimateNote], ",") {
		key, text, _ := strings.Cut(part, "=")
		q, err := quantity.ParseQuantity(text)
		if err != nil || q.Sign() < 0 {
			continue
		}
		load := q.AsApproximateFloat64()
		if strings.HasSuffix(key, "cpu") {
			load *= 1000
		}
		out[key] = autoscale.Resume(load)
	}
	return out
}

// noteEstimates writes the estimates into a copy of the autoscaler.
func (c *scaling) noteEstimates(h *autoscalingv2.HorizontalPodAutoscaler) {
	if c.metrics == nil {
		return // it took no step
	}
	var parts []string
	for i := range c.metrics {
		if lambda, ok := c.estimates[i].Value(); ok {
			parts = append(parts, metricKey(c.metrics[i].spec)+"="+c.metrics[i].quantity(lambda).String())
		}
	}
	if len(parts) == 0 {
		delete(h.Annotations, estimateNote)
		return
	}
	slices.Sort(parts)
	h.Annotations = maps.Clone(h.Annotations)
	if h.Annotations == nil {
		h.Annotations = map[string]string{}
	}
	h.Annotations[estimateNote] = strings.Join(parts, ",")
}
