package api

import (
	"maps"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

var bindingKind = corev1.SchemeGroupVersion.WithKind("Binding")

// bindPod answers POST on a pod's binding and on bindings: the pod gets its node, once.
func bindPod(c *call) error {
	opts, err := c.createOptions()
	if err != nil {
		return err
	}
	binding := &corev1.Binding{}
	if err := c.decode(bindingKind, binding, opts.FieldValidation); err != nil {
		return err
	}
	if c.name == "" {
		c.name = binding.Name
	}
	if binding.Name != c.name {
		return apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if err := c.matchNamespace(binding); err != nil {
		return err
	}
	if errs := validateBinding(binding); len(errs) > 0 {
		return apierrors.NewInvalid(bindingKind.GroupKind(), c.name, errs)
	}
	_, err = c.commit(len(opts.DryRun) > 0, func(tx *store.Tx) (kind.Object, effect, error) {
		rec, ok := tx.Get(c.key(c.name))
		if !ok {
			return nil, unchanged, apierrors.NewNotFound(c.groupResource(), c.name)
		}
		pod, err := c.placed(rec.Object().(*corev1.Pod), binding)
		if err != nil {
			return nil, unchanged, err
		}
		tx.Put(rec.Key(), pod, rec.Revision())
		return pod, changed, nil
	})
	if err != nil {
		return err
	}
	return c.respondOther(http.StatusCreated, success())
}

func validateBinding(b *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	if kind := b.Target.Kind; kind != "" && kind != "Node" {
		errs = append(errs, field.NotSupported(field.NewPath("target", "kind"), kind, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		errs = append(errs, field.Required(field.NewPath("target", "name"), ""))
	}
	return errs
}

// placed is a copy of live on the binding's node.
func (c *call) placed(live *corev1.Pod, b *corev1.Binding) (*corev1.Pod, error) {
	if err := c.preconditions(live, preconditionsOf(b)); err != nil {
		return nil, err
	}
	var why error
	switch {
	case live.DeletionTimestamp != nil:
		why = inTheirWords("pod %s is being deleted, cannot be assigned to a host", live.Name)
	case live.Spec.NodeName != "":
		why = inTheirWords("pod %v is already assigned to node %q", live.Name, live.Spec.NodeName)
	case len(live.Spec.SchedulingGates) > 0:
		why = inTheirWords("pod %v has non-empty .spec.schedulingGates", live.Name)
	}
	if why != nil {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, live.Name, why)
	}
	pod := live.DeepCopy()
	pod.Spec.NodeName = b.Target.Name
	pod.Status.NominatedNodeName = ""
	pod.Annotations = merged(pod.Annotations, b.Annotations)
	pod.Labels = merged(pod.Labels, b.Labels)
	c.setCondition(pod, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
	return pod, nil
}

func preconditionsOf(b *corev1.Binding) *metav1.Preconditions {
	p := &metav1.Preconditions{}
	if b.UID != "" {
		uid := b.UID
		p.UID = &uid
	}
	if b.ResourceVersion != "" {
		p.ResourceVersion = &b.ResourceVersion
	}
	return p
}

func merged(into, from map[string]string) map[string]string {
	if into == nil && len(from) > 0 {
		into = map[string]string{}
	}
	maps.Copy(into, from)
	return into
}

// setCondition puts a condition into the pod's status. Its time changes only when its status does.
func (c *call) setCondition(pod *corev1.Pod, wanted corev1.PodCondition) {
	wanted.ObservedGeneration = pod.Generation
	wanted.LastTransitionTime = metav1.NewTime(c.now).Rfc3339Copy()
	for i := range pod.Status.Conditions {
		had := &pod.Status.Conditions[i]
		if had.Type != wanted.Type {
			continue
		}
		if had.Status == wanted.Status {
			wanted.LastTransitionTime = had.LastTransitionTime
		}
		*had = wanted
		return
	}
	pod.Status.Conditions = append(pod.Status.Conditions, wanted)
}

// success is the Status that says something was done.
func success() *metav1.Status {
	return &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess}
}
