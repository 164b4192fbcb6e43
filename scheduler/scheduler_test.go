package scheduler_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"covey.dev/covey/scheduler"
	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

var web = store.Key{Resource: deployments, Namespace: "default", Name: "web"}

func TestRolloutUndoScale(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.agent()
	c.addNode("a", "64")
	c.addNode("b", "64")
	c.create(deployments, deployment("default", "web", 4, "100m"))
	snap := c.rolledOut("default", "web")
	on := map[string]int{}
	for _, p := range list[*corev1.Pod](snap, pods, "default") {
		on[p.Spec.NodeName]++
		if p.Status.Conditions[0].Type != corev1.PodScheduled || p.Status.Conditions[0].Status != corev1.ConditionTrue {
			t.Errorf("%s: %+v", p.Name, p.Status.Conditions)
		}
	}
	if on["a"] != 2 || on["b"] != 2 {
		t.Errorf("replicas by node: %v, want 2 each", on)
	}
	if got := reasons(snap); got["ScalingReplicaSet"] != 1 || got["SuccessfulCreate"] != 4 || got["Scheduled"] != 4 {
		t.Errorf("events %v", got)
	}

	image := func(v string) {
		edit(c, web, func(d *appsv1.Deployment) bool { d.Spec.Template.Spec.Containers[0].Image = v; return true })
	}
	image("v2")
	c.rolledOut("default", "web")
	image("v1")
	snap = c.rolledOut("default", "web")
	d, _ := store.Get[*appsv1.Deployment](snap, web)
	if got := d.Annotations["deployment.kubernetes.io/revision"]; got != "3" || len(list[*appsv1.ReplicaSet](snap, replicaSets, "")) != 2 {
		t.Errorf("revision %s, want 3:\n%s", got, dump(snap))
	}

	for _, n := range []int32{60, 1, 0, 3} {
		edit(c, web, func(d *appsv1.Deployment) bool { d.Spec.Replicas = &n; return true })
		c.rolledOut("default", "web")
		c.until("the pods", func(snap *store.Snapshot) bool { return snap.Count(pods, "default") == int(n) })
	}
}

func TestRecreate(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.agent()
	c.addNode("a", "64")
	d := deployment("default", "web", 3, "100m")
	d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	c.create(deployments, d)
	start := c.rolledOut("default", "web").Revision()
	w, err := c.Watch(start, pods)
	if err != nil {
		t.Fatal(err)
	}
	edit(c, web, func(d *appsv1.Deployment) bool { d.Spec.Template.Spec.Containers[0].Image = "v2"; return true })
	c.rolledOut("default", "web")
	changes, err := w.Next(c.ctx)
	if err != nil {
		t.Fatal(err)
	}
	old := 3
	for _, e := range changes {
		if e.Cur == nil {
			old--
		}
		if e.Prev == nil && old > 0 {
			t.Fatalf("a new pod while %d old ones were there", old)
		}
	}
}

func TestOneCommitFromDeploymentToBoundPod(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.addNode("a", "64")
	c.until("the default namespace", func(s *store.Snapshot) bool { return s.Count("serviceaccounts", "") == 2 })
	w, err := c.Watch(c.Snapshot().Revision(), pods)
	if err != nil {
		t.Fatal(err)
	}
	c.create(deployments, deployment("default", "web", 1, "100m"))
	got, err := w.Next(c.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if p := got[0].Cur.Object().(*corev1.Pod); p.Spec.NodeName != "a" {
		t.Errorf("the first that is seen of the pod: %+v", p)
	}
}

func TestDeletedDeploymentTakesItsOwnAlong(t *testing.T) {
	for _, finalizer := range []string{"", metav1.FinalizerDeleteDependents, metav1.FinalizerOrphanDependents} {
		t.Run("finalizer "+finalizer, func(t *testing.T) {
			c := newCluster(t)
			c.schedule()
			c.agent()
			c.addNode("a", "64")
			c.create(deployments, deployment("default", "web", 3, "100m"))
			c.rolledOut("default", "web")
			edit(c, web, func(d *appsv1.Deployment) bool {
				d.DeletionTimestamp, d.DeletionGracePeriodSeconds = new(metav1.NewTime(c.clock.Now())), new(int64)
				d.Finalizers = []string{finalizer}
				return finalizer != ""
			})
			snap := c.until("the deployment to go", func(snap *store.Snapshot) bool { return snap.Count(deployments, "") == 0 })
			switch finalizer {
			case metav1.FinalizerOrphanDependents:
				rs := list[*appsv1.ReplicaSet](snap, replicaSets, "default")
				if len(rs) != 1 || len(rs[0].OwnerReferences) != 0 || snap.Count(pods, "") != 3 {
					t.Error(dump(snap))
				}
				c.create(deployments, deployment("default", "web", 3, "100m")) // adopts what was left
				snap = c.rolledOut("default", "web")
				if snap.Count(replicaSets, "") != 1 {
					t.Error(dump(snap))
				}
			case metav1.FinalizerDeleteDependents:
				if snap.Count(pods, "")+snap.Count(replicaSets, "") != 0 {
					t.Errorf("gone before its dependents:\n%s", dump(snap))
				}
			default:
				c.until("everything to go", func(s *store.Snapshot) bool { return s.Count(pods, "")+s.Count(replicaSets, "") == 0 })
			}
		})
	}
}

func TestNamespaceIsEmptiedAndGoes(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	stop := c.agent()
	c.addNode("a", "64")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	ns.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
	c.create("namespaces", ns)
	c.until("the service account", func(s *store.Snapshot) bool { return s.Count("serviceaccounts", "shop") == 1 })
	c.create(deployments, deployment("shop", "web", 3, "100m"))
	c.create("configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "settings"}})
	c.create("configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "other"}})
	c.rolledOut("shop", "web")
	stop() // pods do not end for now
	edit(c, store.Key{Resource: "namespaces", Name: "shop"}, func(ns *corev1.Namespace) bool {
		ns.DeletionTimestamp, ns.Status.Phase = new(metav1.NewTime(c.clock.Now())), corev1.NamespaceTerminating
		return true
	})
	snap := c.until("the pods to be told", func(s *store.Snapshot) bool {
		for _, p := range list[*corev1.Pod](s, pods, "shop") {
			if p.DeletionTimestamp == nil {
				return false
			}
		}
		return true
	})
	if snap.Count(pods, "shop") != 3 || snap.Count("configmaps", "shop") != 1 {
		t.Errorf("pods lose their configuration before they end:\n%s", dump(snap))
	}
	c.agent()
	snap = c.until("the namespace to go", func(s *store.Snapshot) bool {
		_, there := s.Get(store.Key{Resource: "namespaces", Name: "shop"})
		return !there
	})
	for _, res := range []string{pods, replicaSets, deployments, "configmaps", "serviceaccounts", events} {
		if n := snap.Count(res, "shop"); n != 0 {
			t.Errorf("%d %s are left", n, res)
		}
	}
	if snap.Count("configmaps", "default") != 1 {
		t.Error("another namespace lost something")
	}
}

func TestUnschedulableThenANodeAppears(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.agent()
	c.create(deployments, deployment("default", "web", 2, "3"))
	waits := func(message string) func(*store.Snapshot) bool {
		return func(s *store.Snapshot) bool {
			n := 0
			for _, p := range list[*corev1.Pod](s, pods, "default") {
				for _, cond := range p.Status.Conditions {
					if cond.Type == corev1.PodScheduled && cond.Reason == corev1.PodReasonUnschedulable && cond.Message == message {
						n++
					}
				}
			}
			return n == 2
		}
	}
	c.until("the reason", waits("no nodes available to schedule pods"))
	c.addNode("small", "2")
	snap := c.until("the new reason", waits("0/1 nodes are available: 1 Insufficient cpu. "+
		"preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."))
	if got := reasons(snap); got["FailedScheduling"] != 4 || got["Scheduled"] != 0 {
		t.Errorf("events %v", got)
	}
	c.addNode("large", "4")
	c.until("one of them to run", func(s *store.Snapshot) bool { return reasons(s)["Scheduled"] == 1 })
	c.addNode("large2", "4")
	c.rolledOut("default", "web")
}

func TestRoomIsUsedWhenAPodEnds(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.agent()
	c.addNode("a", "1")
	c.create(deployments, deployment("default", "web", 1, "1"))
	c.rolledOut("default", "web")
	c.create(deployments, deployment("default", "next", 1, "1"))
	c.until("the second to wait", func(s *store.Snapshot) bool { return reasons(s)["FailedScheduling"] == 1 })
	edit(c, web, func(d *appsv1.Deployment) bool { d.Spec.Replicas = new(int32); return true })
	c.rolledOut("default", "next")
}

func TestLostNodesPodsAreReplacedAfterQuarantine(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.agent()
	c.addNode("a", "64")
	c.create(deployments, deployment("default", "web", 2, "100m"))
	first := list[*corev1.Pod](c.rolledOut("default", "web"), pods, "")
	edit(c, store.Key{Resource: nodes, Name: "a"}, func(*corev1.Node) bool { return false })
	c.addNode("b", "64")
	seen := func(name string) { // by the scheduler, with all that happened before
		c.create(deployments, deployment("default", name, 1, "100m"))
		c.rolledOut("default", name)
	}
	seen("marker-1")
	c.clock.Step(39 * time.Second)
	seen("marker-2")
	if _, ok := c.Snapshot().Get(key(pods, first[0])); !ok {
		t.Fatal("given up at once")
	}
	c.clock.Step(2 * time.Second)
	c.until("the pods to move", func(s *store.Snapshot) bool {
		_, ok := s.Get(key(pods, first[0]))
		return !ok
	})
	for _, p := range list[*corev1.Pod](c.rolledOut("default", "web"), pods, "") {
		if p.Spec.NodeName != "b" {
			t.Errorf("%s is on %s", p.Name, p.Spec.NodeName)
		}
	}
}

// waitsForTime returns when the scheduler has settled and sleeps until something is due.
func (c *cluster) waitsForTime() {
	c.t.Helper()
	for !c.clock.HasWaiters() {
		if c.ctx.Err() != nil {
			c.t.Fatal("the scheduler waits for nothing")
		}
		time.Sleep(time.Millisecond) // the fake clock cannot be waited on
	}
}

func TestProgressDeadlineFiresByItself(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.addNode("a", "64")
	c.create(deployments, deployment("default", "web", 1, "100m")) // no agent: it never runs
	c.until("the pod", func(s *store.Snapshot) bool { return s.Count(pods, "") == 1 })
	c.clock.Step(11 * time.Minute)
	c.until("the timeout", makesNoProgress)
}

func makesNoProgress(s *store.Snapshot) bool {
	d, _ := store.Get[*appsv1.Deployment](s, web)
	return slices.ContainsFunc(d.Status.Conditions, func(cond appsv1.DeploymentCondition) bool { return cond.Reason == "ProgressDeadlineExceeded" })
}

// leaping is a clock that is set forward when somebody is about to wait for a time.
type leaping struct{ *clocktesting.FakeClock }

func (l leaping) AfterFunc(d time.Duration, f func()) clock.Timer {
	l.Step(d)
	return l.FakeClock.AfterFunc(d, f)
}

// TestWhatIsDueBeforeItsTimerIsSetIsDone: no timer says that it is.
func TestWhatIsDueBeforeItsTimerIsSetIsDone(t *testing.T) {
	c := newCluster(t)
	ctx, cancel := context.WithCancel(c.ctx)
	s := scheduler.New(scheduler.Config{Store: c.Store, Clock: leaping{c.clock}, Logger: quiet()})
	c.run("scheduler", cancel, func() error { return s.Run(ctx) })
	c.addNode("a", "64")
	c.create(deployments, deployment("default", "web", 1, "100m")) // no agent: it never runs
	c.until("the timeout", makesNoProgress)
}

func TestEventsAreCountedAndExpire(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.agent()
	c.addNode("a", "64")
	c.create(deployments, deployment("default", "web", 25, "10m"))
	snap := c.rolledOut("default", "web")
	combined := 0
	for _, e := range list[*corev1.Event](snap, events, "default") {
		if e.Reason != "SuccessfulCreate" {
			continue
		}
		if strings.HasPrefix(e.Message, "(combined from similar events): ") {
			combined = int(e.Count)
		}
		if !strings.HasPrefix(e.Name, e.InvolvedObject.Name+".") || e.InvolvedObject.Kind != "ReplicaSet" {
			t.Errorf("event %s about %v", e.Name, e.InvolvedObject)
		}
	}
	if combined != 15 {
		t.Errorf("%d combined, want 15 of 25", combined)
	}
	c.clock.Step(66 * time.Minute)
	c.until("the events to go", func(s *store.Snapshot) bool { return s.Count(events, "") == 0 })
}

func TestRestartGoesOnWhereItWas(t *testing.T) {
	c := newCluster(t)
	c.addNode("a", "64")
	c.agent()
	stop := c.schedule()
	c.create(deployments, deployment("default", "web", 3, "100m"))
	before := list[*corev1.Pod](c.rolledOut("default", "web"), pods, "")
	stop()
	edit(c, key(pods, before[0]), func(*corev1.Pod) bool { return false })
	c.create(deployments, deployment("default", "late", 1, "100m"))
	stop = c.schedule()
	c.rolledOut("default", "late")
	snap := c.until("three again", func(s *store.Snapshot) bool { return s.Count(pods, "") == 4 })
	if _, ok := snap.Get(key(pods, before[1])); !ok {
		t.Error("a pod that ran was replaced")
	}
	stop()
	quiet := c.Snapshot().Revision()
	c.schedule()
	c.create("configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x"}})
	c.waitsForTime()
	if got := c.Snapshot().Revision(); got != quiet+1 {
		t.Errorf("a restart wrote %d times though nothing was to do", got-quiet-1)
	}
}

func TestManyReplicas(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.agent()
	for i := range 20 {
		c.addNode(fmt.Sprint("n", i), "64")
	}
	c.create(deployments, deployment("default", "web", 700, "100m"))
	c.rolledOut("default", "web")
	edit(c, web, func(*appsv1.Deployment) bool { return false })
	c.until("everything to go", func(s *store.Snapshot) bool { return s.Count(pods, "")+s.Count(replicaSets, "") == 0 })
}

func TestGoesOnAfterItsWatchWasLost(t *testing.T) {
	c := newClusterWithHistory(t, 5) // each round is more than the history holds
	c.schedule()
	c.addNode("a", "64")
	for i := range 5 {
		c.create(deployments, deployment("default", fmt.Sprint("web-", i), 20, "100m"))
	}
	snap := c.until("the pods", func(s *store.Snapshot) bool { return s.Count(pods, "") >= 100 })
	for _, p := range list[*corev1.Pod](snap, pods, "") {
		if p.Spec.NodeName != "a" {
			t.Errorf("%s is on %q", p.Name, p.Spec.NodeName)
		}
	}
	edit(c, store.Key{Resource: deployments, Namespace: "default", Name: "web-0"}, func(*appsv1.Deployment) bool { return false })
	c.until("its own to go", func(s *store.Snapshot) bool { return s.Count(replicaSets, "") == 4 })
	if n := c.Snapshot().Count(pods, ""); n > 100 {
		t.Errorf("%d pods, want 100 at most", n)
	}
}

func TestAPodWaitsForTheOneItBelongsBeside(t *testing.T) {
	c := newCluster(t)
	c.addNode("a", "4")
	c.addNode("b", "4")
	c.schedule()
	for _, name := range []string{"a", "b"} {
		edit(c, store.Key{Resource: nodes, Name: name}, func(n *corev1.Node) bool {
			n.Labels = map[string]string{corev1.LabelHostname: name}
			return true
		})
	}
	pod := func(name, app string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": app}}}
		p.Status.Phase = corev1.PodPending
		return p
	}
	web := pod("web", "web")
	web.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
		}},
	}}
	c.create(pods, web)
	c.until("the refusal", func(snap *store.Snapshot) bool {
		p, _ := store.Get[*corev1.Pod](snap, key(pods, web))
		return len(p.Status.Conditions) > 0 && p.Status.Conditions[0].Message ==
			"0/2 nodes are available: 2 node(s) didn't match pod affinity rules. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
	})
	c.create(pods, pod("db", "db"))
	c.until("both on one node", func(snap *store.Snapshot) bool {
		w, _ := store.Get[*corev1.Pod](snap, key(pods, web))
		d, _ := store.Get[*corev1.Pod](snap, store.Key{Resource: pods, Namespace: "default", Name: "db"})
		return w.Spec.NodeName != "" && w.Spec.NodeName == d.Spec.NodeName
	})
	if n := reasons(c.Snapshot())["FailedScheduling"]; n != 1 {
		t.Errorf("%d refusals told, want 1", n)
	}
}

func TestABudgetFollowsItsPods(t *testing.T) {
	c := newCluster(t)
	c.addNode("a", "8")
	c.schedule()
	c.agent()
	c.create(deployments, deployment("default", "web", 3, "1"))
	c.create(controller.Budgets, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromString("50%")), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		},
	})
	allows := func(n int32) {
		t.Helper()
		c.until(fmt.Sprint(n, " to be allowed"), func(s *store.Snapshot) bool {
			b, _ := store.Get[*policyv1.PodDisruptionBudget](s, store.Key{Resource: controller.Budgets, Namespace: "default", Name: "web"})
			return b.Status.DisruptionsAllowed == n && b.Status.CurrentHealthy == b.Status.ExpectedPods
		})
	}
	allows(2)
	edit(c, web, func(d *appsv1.Deployment) bool { d.Spec.Replicas = new(int32(5)); return true })
	allows(3)
}

// TestPodsThatAreTooLargeForOneCommit are made, placed and taken away in several.
func TestPodsThatAreTooLargeForOneCommit(t *testing.T) {
	const replicas, size, limit = 60, 4 << 10, 64 << 10
	c := newCluster(t, func(cfg *store.Config) { cfg.EntryLimit = limit })
	c.addNode("a", "64")
	c.schedule()
	noise := make([]byte, size) // cannot be compressed
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	d := deployment("default", "web", replicas, "1m")
	d.Spec.Template.Annotations = map[string]string{"large": string(noise)}
	c.create(deployments, d)
	all := func(what string, is func(*corev1.Pod) bool) {
		t.Helper()
		c.until("all to be "+what, func(s *store.Snapshot) bool {
			n := 0
			for p := range store.List[*corev1.Pod](s, pods, "default") {
				if is(p) {
					n++
				}
			}
			return n == replicas
		})
	}
	all("bound", func(p *corev1.Pod) bool { return p.Spec.NodeName == "a" })
	edit(c, web, func(d *appsv1.Deployment) bool { d.Spec.Replicas = new(int32); return true })
	all("stopped", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
}
