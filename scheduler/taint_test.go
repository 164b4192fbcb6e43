package scheduler_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"covey.dev/covey/scheduler"
	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

func TestPodsLeaveATaintedNode(t *testing.T) {
	c := newCluster(t)
	c.addNode("a", "8")
	c.schedule()
	c.agent()
	d := deployment("default", "web", 2, "1")
	c.create(deployments, d)
	patient := important("patient", 0, "1")
	patient.Spec.Tolerations = []corev1.Toleration{{Key: "broken", Operator: corev1.TolerationOpExists, TolerationSeconds: new(int64(90))}}
	c.create(pods, patient)
	c.rolledOut("default", "web")
	c.until("patient to run", func(s *store.Snapshot) bool { return podOf(s, "patient").Status.Phase == corev1.PodRunning })
	c.addNode("b", "8")
	edit(c, store.Key{Resource: nodes, Name: "a"}, func(n *corev1.Node) bool {
		n.Spec.Taints = []corev1.Taint{{Key: "broken", Effect: corev1.TaintEffectNoExecute}}
		return true
	})
	c.until("all replicas on b", func(s *store.Snapshot) bool {
		n := 0
		for _, p := range list[*corev1.Pod](s, pods, "default") {
			if p.Spec.NodeName == "b" && p.Status.Phase == corev1.PodRunning {
				n++
			}
		}
		return n == 2 && reasons(s)["TaintManagerEviction"] == 2
	})
	if podOf(c.Snapshot(), "patient") == nil {
		t.Fatal("the pod that tolerates the taint for 90 s is gone")
	}
	c.clock.Step(91 * time.Second)
	c.until("patient to go", func(s *store.Snapshot) bool { return podOf(s, "patient") == nil })
}

func TestPodsLeaveALostNodeOnlyWhenAnotherIsReady(t *testing.T) {
	c := newCluster(t)
	c.addNode("a", "8")
	c.schedule()
	c.agent()
	p := important("p", 0, "1")
	p.Spec.Tolerations = []corev1.Toleration{{
		Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(300)),
	}}
	c.create(pods, p)
	c.until("p to run", func(s *store.Snapshot) bool { return podOf(s, "p").Status.Phase == corev1.PodRunning })
	edit(c, store.Key{Resource: nodes, Name: "a"}, func(n *corev1.Node) bool { n.Status.Conditions[0].Status = corev1.ConditionUnknown; return true })
	q := important("q", 0, "1")
	c.create(pods, q)
	c.until("the taint to be known", func(s *store.Snapshot) bool { return reasons(s)["FailedScheduling"] == 1 })
	c.clock.Step(301 * time.Second)
	c.create(pods, important("r", 0, "1"))
	c.until("another round", func(s *store.Snapshot) bool { return reasons(s)["FailedScheduling"] == 2 })
	if podOf(c.Snapshot(), "p") == nil {
		t.Fatal("a node alone gave its pod up")
	}
	c.addNode("b", "8")
	c.until("p to go", func(s *store.Snapshot) bool { return podOf(s, "p") == nil })
}

func TestOldEndedPodsAreCleanedUp(t *testing.T) {
	c := newCluster(t)
	ctx, cancel := context.WithCancel(c.ctx)
	s := scheduler.New(scheduler.Config{Store: c.Store, Clock: c.clock, Logger: quiet(), EndedPods: 2})
	c.run("scheduler", cancel, func() error { return s.Run(ctx) })
	for i := range 5 {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("p", i)}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}
		c.create(pods, p)
		c.clock.Step(time.Second)
	}
	c.until("the youngest two to be left", func(s *store.Snapshot) bool {
		left := list[*corev1.Pod](s, pods, "default")
		return len(left) == 2 && left[0].Name == "p3" && left[1].Name == "p4"
	})
}

// TestAPodOnALostNodeIsNotReady has a node lost and come back, with its agent telling of the pod meanwhile.
func TestAPodOnALostNodeIsNotReady(t *testing.T) {
	c := newCluster(t)
	c.addNode("a", "8")
	c.addNode("b", "8")
	stop := c.schedule()
	c.agent()
	pod := important("first", 0, "1")
	pod.Labels, pod.Spec.NodeName, pod.Status.Phase = map[string]string{"app": "bare"}, "a", corev1.PodRunning
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	c.create(pods, pod)
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bare"}, Spec: policyv1.PodDisruptionBudgetSpec{
		MinAvailable: new(intstr.FromInt32(0)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "bare"}},
	}}
	c.create(controller.Budgets, budget)
	node := func(ready corev1.ConditionStatus) {
		edit(c, store.Key{Resource: nodes, Name: "a"}, func(n *corev1.Node) bool { n.Status.Conditions[0].Status = ready; return true })
	}
	agentSays := func(ready corev1.ConditionStatus) {
		edit(c, first, func(p *corev1.Pod) bool {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
			return true
		})
	}
	until := func(reason string, healthy int32) {
		t.Helper()
		c.until(fmt.Sprintf("the pod to be %q", reason), func(s *store.Snapshot) bool {
			b, _ := store.Get[*policyv1.PodDisruptionBudget](s, key(controller.Budgets, budget))
			return conditionOf(podOf(s, "first"), corev1.PodReady).Reason == reason && b.Status.ExpectedPods == 1 && b.Status.CurrentHealthy == healthy
		})
	}
	until("", 1)
	node(corev1.ConditionUnknown)
	until("NodeNotReady", 0)
	agentSays(corev1.ConditionTrue) // which it is believed for a while: the node may be back
	until("", 1)
	c.clock.Step(10 * time.Second)
	until("NodeNotReady", 0)

	agentSays(corev1.ConditionTrue)
	until("", 1)
	node(corev1.ConditionTrue)
	c.settled()
	c.clock.Step(10 * time.Second)
	c.settled()
	until("", 1)

	stop() // the leader is another when it is lost
	node(corev1.ConditionUnknown)
	c.schedule()
	until("NodeNotReady", 0)
	if got := reasons(c.Snapshot())["TaintManagerEviction"]; got != 0 {
		t.Errorf("the pod, which tolerates that, was evicted")
	}
}
