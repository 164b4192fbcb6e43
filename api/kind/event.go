package kind

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

func eventKind() *Kind {
	k := base[corev1.Event, corev1.EventList](corev1.SchemeGroupVersion.WithKind("Event"), "events", "event", "ev")
	check[core.Event](k,
		func(e *core.Event) field.ErrorList {
			return validation.ValidateEventCreate(e, corev1.SchemeGroupVersion)
		},
		func(e, old *core.Event) field.ErrorList {
			return validation.ValidateEventUpdate(e, old, corev1.SchemeGroupVersion)
		})
	selectable(k, eventFields)
	k.Columns = eventColumns()
	k.Row = rowOf(eventRow)
	return k
}

func eventFields(e *corev1.Event) fields.Set {
	on := e.InvolvedObject
	return fields.Set{
		"involvedObject.kind":            on.Kind,
		"involvedObject.namespace":       on.Namespace,
		"involvedObject.name":            on.Name,
		"involvedObject.uid":             string(on.UID),
		"involvedObject.apiVersion":      on.APIVersion,
		"involvedObject.resourceVersion": on.ResourceVersion,
		"involvedObject.fieldPath":       on.FieldPath,
		"reason":                         e.Reason,
		"reportingComponent":             e.ReportingController,
		"source":                         orElse(e.Source.Component, e.ReportingController),
		"type":                           e.Type,
	}
}

func eventColumns() []metav1.TableColumnDefinition {
	doc := corev1.Event{}.SwaggerDoc()
	name := nameColumn()
	name.Priority = 1
	return []metav1.TableColumnDefinition{
		text("Last Seen", doc["lastTimestamp"]),
		text("Type", doc["type"]),
		text("Reason", doc["reason"]),
		text("Object", doc["involvedObject"]),
		wide(text("Subobject", corev1.ObjectReference{}.SwaggerDoc()["fieldPath"])),
		wide(text("Source", doc["source"])),
		text("Message", doc["message"]),
		wide(text("First Seen", doc["firstTimestamp"])),
		wide(text("Count", doc["count"])),
		name,
	}
}

func eventRow(e *corev1.Event, now time.Time) []any {
	first := e.FirstTimestamp.Time
	if first.IsZero() {
		first = e.EventTime.Time
	}
	last := e.LastTimestamp.Time
	if last.IsZero() {
		last = first
	}
	count := e.Count
	if e.Series != nil {
		last, count = e.Series.LastObservedTime.Time, e.Series.Count
	} else if count == 0 {
		count = 1
	}
	target := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		target = fmt.Sprintf("%s/%s", target, e.InvolvedObject.Name)
	}
	source := orElse(e.Source.Component, e.ReportingController)
	if host := orElse(e.Source.Host, e.ReportingInstance); host != "" {
		source += ", " + host
	}
	return []any{
		since(last, now), e.Type, e.Reason, target, e.InvolvedObject.FieldPath, source, strings.TrimSpace(e.Message),
		since(first, now), int64(count), e.Name,
	}
}

// eventV1Kind is the version of events.k8s.io, which newer clients record with: stricter on what is new, and with other names
// for some fields.
func eventV1Kind(stored *Kind) *Kind {
	k := version[eventsv1.Event, eventsv1.EventList, core.Event](stored, eventsv1.SchemeGroupVersion.WithKind("Event"))
	check[core.Event](k,
		func(e *core.Event) field.ErrorList {
			return validation.ValidateEventCreate(e, eventsv1.SchemeGroupVersion)
		},
		func(e, old *core.Event) field.ErrorList {
			return validation.ValidateEventUpdate(e, old, eventsv1.SchemeGroupVersion)
		})
	k.FieldNames = nil
	selectable(k, func(e *eventsv1.Event) fields.Set {
		on := e.Regarding
		return fields.Set{
			"regarding.kind": on.Kind, "regarding.namespace": on.Namespace, "regarding.name": on.Name, "regarding.uid": string(on.UID),
			"regarding.apiVersion": on.APIVersion, "regarding.resourceVersion": on.ResourceVersion, "regarding.fieldPath": on.FieldPath,
			"reason": e.Reason, "reportingController": e.ReportingController, "type": e.Type,
		}
	})
	return k
}
