package scheduler_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

func important(name string, priority int32, cpu string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	p.Spec.Priority = &priority
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}}
	p.Status.Phase = corev1.PodPending
	return p
}

func podOf(snap *store.Snapshot, name string) *corev1.Pod {
	p, _ := store.Get[*corev1.Pod](snap, store.Key{Resource: pods, Namespace: "default", Name: name})
	return p
}

func conditionOf(p *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	if p != nil {
		for _, c := range p.Status.Conditions {
			if c.Type == kind {
				return c
			}
		}
	}
	return corev1.PodCondition{}
}

func TestAMoreImportantPodTakesTheRoom(t *testing.T) {
	c := newCluster(t)
	c.addNode("a", "2")
	c.schedule()
	stop := c.agent()
	d := deployment("default", "web", 2, "1")
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(7))
	c.create(deployments, d)
	c.rolledOut("default", "web")
	stop() // pods now take their time to stop
	c.create(pods, important("first", 100, "1"))
	snap := c.until("the nomination", func(snap *store.Snapshot) bool { return podOf(snap, "first").Status.NominatedNodeName == "a" })
	if got, want := conditionOf(podOf(snap, "first"), corev1.PodScheduled).Message, "0/1 nodes are available: 1 Insufficient cpu. "+
		"preemption: found a potential placement for pod on node a, preempting 1 victims"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	victims := 0
	for _, p := range list[*corev1.Pod](snap, pods, "default") {
		if p.DeletionTimestamp == nil {
			continue
		}
		victims++
		if c := conditionOf(p, corev1.DisruptionTarget); c.Reason != corev1.PodReasonPreemptionByScheduler || *p.DeletionGracePeriodSeconds != 7 {
			t.Errorf("condition %+v, grace %d s", c, *p.DeletionGracePeriodSeconds)
		}
	}
	if got := reasons(snap)["Preempted"]; victims != 1 || got != 1 {
		t.Errorf("%d victims, %d events, want one of each", victims, got)
	}
	c.until("its replacement to wait", func(snap *store.Snapshot) bool { return reasons(snap)["FailedScheduling"] == 2 })
	c.create(pods, important("second", 100, "1")) // takes the other one, not the room that is held
	c.until("the second nomination", func(snap *store.Snapshot) bool {
		return podOf(snap, "second").Status.NominatedNodeName == "a" && reasons(snap)["Preempted"] == 2
	})
	c.agent()
	snap = c.until("both to run", func(snap *store.Snapshot) bool {
		return podOf(snap, "first").Spec.NodeName == "a" && podOf(snap, "second").Spec.NodeName == "a"
	})
	if n := podOf(snap, "first").Status.NominatedNodeName; n != "" {
		t.Errorf("still nominated to %s", n)
	}
	for _, p := range list[*corev1.Pod](snap, pods, "default") {
		if p.DeletionTimestamp == nil && p.Labels["app"] == "web" && p.Spec.NodeName != "" {
			t.Errorf("%s took the room", p.Name)
		}
	}
}

func TestAPodThatNeverPreemptsWaits(t *testing.T) {
	c := newCluster(t)
	c.addNode("a", "1")
	c.schedule()
	c.agent()
	c.create(deployments, deployment("default", "web", 1, "1"))
	c.rolledOut("default", "web")
	polite := important("polite", 100, "1")
	polite.Spec.PreemptionPolicy = new(corev1.PreemptNever)
	c.create(pods, polite)
	snap := c.until("the refusal", func(snap *store.Snapshot) bool {
		return conditionOf(podOf(snap, "polite"), corev1.PodScheduled).Reason != ""
	})
	if got := conditionOf(podOf(snap, "polite"), corev1.PodScheduled).Message; !strings.HasSuffix(got, "preemption: not eligible due to preemptionPolicy=Never.") {
		t.Error(got)
	}
	edit(c, web, func(d *appsv1.Deployment) bool { d.Spec.Replicas = new(int32); return true })
	snap = c.until("the room", func(snap *store.Snapshot) bool { return podOf(snap, "polite").Spec.NodeName == "a" })
	if got := reasons(snap)["Preempted"]; got != 0 {
		t.Errorf("%d were preempted", got)
	}
}

func TestTheMoreImportantIsPlacedFirst(t *testing.T) {
	c := newCluster(t)
	c.create(pods, important("low", 1, "1"))
	c.create(pods, important("high", 100, "1"))
	c.addNode("a", "1")
	c.schedule()
	snap := c.until("one to have the node", func(snap *store.Snapshot) bool { return reasons(snap)["Scheduled"] == 1 })
	if podOf(snap, "high").Spec.NodeName != "a" {
		t.Error("the less important pod has the node")
	}
}

// TestABudgetIsSpentOnceInARound has two important pods make room at once, with a budget that lets one pod go.
func TestABudgetIsSpentOnceInARound(t *testing.T) {
	c := newCluster(t)
	bound := func(node, app string, priority int32) {
		c.addNode(node, "1")
		pod := important("on-"+node, priority, "1")
		pod.Labels, pod.Spec.NodeName, pod.Status.Phase = map[string]string{"app": app}, node, corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		c.create(pods, pod)
	}
	bound("a", "guarded", 1)
	bound("b", "guarded", 1)
	bound("c", "other", 50)
	c.create(controller.Budgets, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "guarded"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "guarded"}},
		},
		Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1, CurrentHealthy: 2, DesiredHealthy: 1, ExpectedPods: 2},
	})
	c.create(pods, important("first", 100, "1"))
	c.create(pods, important("second", 100, "1"))
	c.schedule()
	snap := c.until("both to have room made", func(s *store.Snapshot) bool { return reasons(s)["Preempted"] == 2 })
	gone := map[string]int{}
	for _, p := range list[*corev1.Pod](snap, pods, "default") {
		if p.DeletionTimestamp != nil {
			gone[p.Labels["app"]]++
		}
	}
	if gone["guarded"] != 1 || gone["other"] != 1 {
		t.Errorf("%v are preempted, want one of each", gone)
	}
}
