package api

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// AdmitPod gives a new pod what follows from other objects, as Kubernetes' admission does: the priority of its class. The
// scheduler calls it too, for the pods of controllers.
func AdmitPod(snap *store.Snapshot, pod *corev1.Pod) error {
	return kind.SettlePriority(pod, func(name string) *schedulingv1.PriorityClass {
		class, _ := store.Get[*schedulingv1.PriorityClass](snap, priorityClassKey(name))
		return class
	}, func() *schedulingv1.PriorityClass { return defaultPriorityClass(snap) })
}

func priorityClassKey(name string) store.Key {
	return store.Key{Resource: "priorityclasses.scheduling.k8s.io", Name: name}
}

// defaultPriorityClass is the one for pods that name none; nil when there is none.
func defaultPriorityClass(snap *store.Snapshot) *schedulingv1.PriorityClass {
	var found *schedulingv1.PriorityClass
	for class := range store.List[*schedulingv1.PriorityClass](snap, "priorityclasses.scheduling.k8s.io", "") {
		if class.GlobalDefault && (found == nil || class.Value < found.Value) {
			found = class
		}
	}
	return found
}

// admitObject refuses or completes an object by what else there is; old is nil when it is new.
func (c *call) admitObject(tx *store.Tx, obj, old kind.Object) error {
	var err error
	switch o := obj.(type) {
	case *corev1.Pod:
		if old == nil {
			err = AdmitPod(tx.Snapshot(), o)
		}
	case *schedulingv1.PriorityClass:
		if other := defaultPriorityClass(tx.Snapshot()); o.GlobalDefault && other != nil && other.Name != o.Name {
			err = fmt.Errorf("PriorityClass %v is already marked as default. Only one default can exist", other.Name)
		}
	}
	if err != nil {
		return apierrors.NewForbidden(c.groupResource(), obj.GetName(), err)
	}
	return nil
}
