package controller_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/scheduler/controller"
)

func TestPreempt(t *testing.T) {
	s := newSim(t, "")
	r := controller.Preempt(aPod("a", func(p *corev1.Pod) { p.Generation = 1 }), "uid-of-b", s.env())
	if len(r.Changes) != 1 || len(r.Events) != 1 {
		t.Fatalf("%+v", r)
	}
	p := r.Changes[0].Object.(*corev1.Pod)
	c := p.Status.Conditions[len(p.Status.Conditions)-1]
	switch {
	case r.Changes[0].Verb != controller.Update || p.DeletionTimestamp == nil || *p.DeletionGracePeriodSeconds != 30:
		t.Errorf("verb %v, %+v", r.Changes[0].Verb, p.ObjectMeta)
	case c.Type != corev1.DisruptionTarget || c.Status != corev1.ConditionTrue || c.Reason != "PreemptionByScheduler":
		t.Errorf("condition %+v", c)
	case r.Events[0].Reason != "Preempted" || r.Events[0].Message != "Preempted by pod uid-of-b on node "+p.Spec.NodeName:
		t.Errorf("event %+v", r.Events[0])
	}
	if r := controller.Preempt(aPod("a", stopping), "uid-of-b", s.env()); len(r.Changes) != 0 {
		t.Errorf("what is going anyway is changed: %+v", r.Changes)
	}
}
