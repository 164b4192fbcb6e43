package kind

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The annotations of a HorizontalPodAutoscaler that set its moving average.
const (
	EWMAAlpha = "covey.dev/ewma-alpha" // the weight of the past, 0 to 1
	EWMAStep  = "covey.dev/ewma-step"  // seconds from one measurement to the next
)

// The least and the most seconds between measurements.
const (
	leastStep = 1
	mostStep  = 300
)

func validateEWMA(annotations map[string]string) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("metadata", "annotations")
	if text, ok := annotations[EWMAAlpha]; ok {
		if alpha, err := strconv.ParseFloat(text, 64); err != nil || !(alpha >= 0 && alpha <= 1) {
			errs = append(errs, field.Invalid(path.Key(EWMAAlpha), text, "must be a number from 0 to 1, the weight of the past, such as 0.2"))
		}
	}
	if text, ok := annotations[EWMAStep]; ok {
		if step, err := strconv.Atoi(text); err != nil || step < leastStep || step > mostStep {
			errs = append(errs, field.Invalid(path.Key(EWMAStep), text, fmt.Sprintf("must be a number of seconds from %d to %d, such as 5", leastStep, mostStep)))
		}
	}
	return errs
}
