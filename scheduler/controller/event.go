package controller

import (
	"cmp"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Event is something to tell about an object.
type Event struct {
	Regarding corev1.ObjectReference
	Source    string // the component that tells it: "deployment-controller"
	Type      string // Normal or Warning
	Reason    string
	Message   string
}

// EventName is the name of an event that is told of an object for the first time, in Kubernetes' form.
func EventName(regarding string, at time.Time) string {
	return fmt.Sprintf("%s.%x", regarding, at.UnixNano())
}

// Object is the event as the API keeps it, told once. Events of what is in no namespace are in the default one.
func (e *Event) Object(at time.Time, uid types.UID) *corev1.Event {
	stamp := metav1.NewTime(at.UTC().Truncate(time.Second))
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cmp.Or(e.Regarding.Namespace, metav1.NamespaceDefault), Name: EventName(e.Regarding.Name, at),
			UID: uid, CreationTimestamp: stamp,
		},
		InvolvedObject: e.Regarding, Reason: e.Reason, Message: e.Message, Type: e.Type,
		Source: corev1.EventSource{Component: e.Source}, ReportingController: e.Source,
		FirstTimestamp: stamp, LastTimestamp: stamp, Count: 1,
	}
}
