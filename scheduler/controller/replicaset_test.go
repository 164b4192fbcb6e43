package controller_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/scheduler/controller"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func replicaSet(replicas int32) *appsv1.ReplicaSet {
	labels := map[string]string{"app": "web"}
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "rs", Generation: 3},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}},
		},
	}
}

// aPod is a running, ready pod of the replica set, a minute old, on node n; changes make it otherwise.
func aPod(name string, changes ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, Labels: map[string]string{"app": "web"}, CreationTimestamp: metav1.NewTime(epoch.Add(-time.Minute)),
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "rs", Controller: new(true)}},
	}}
	p.Spec.NodeName = "on-" + name
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(epoch.Add(-50 * time.Second))}}
	for _, f := range changes {
		f(p)
	}
	return p
}

func unbound(p *corev1.Pod) {
	p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = "", corev1.PodPending, nil
}
func pending(p *corev1.Pod)  { p.Status.Phase, p.Status.Conditions = corev1.PodPending, nil }
func notReady(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }
func failed(p *corev1.Pod)   { p.Status.Phase = corev1.PodFailed }
func stopping(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.NewTime(epoch)) }
func once(p *corev1.Pod)     { p.Annotations = map[string]string{controller.AtMostOne: "true"} }
func orphan(p *corev1.Pod)   { p.OwnerReferences = nil }
func foreign(p *corev1.Pod)  { p.OwnerReferences[0].UID = "someone" }
func relabelled(p *corev1.Pod) {
	p.Labels = map[string]string{"app": "other"}
}

// tell writes changes down in a line each.
func tell(r controller.Result) []string {
	var out []string
	for _, c := range r.Changes {
		line := fmt.Sprintf("%s %s", [...]string{"create", "update", "delete"}[c.Verb], c.Ref.Resource)
		if c.Verb != controller.Create {
			line += " " + c.Ref.Name
		}
		if c.Verb == controller.Update && c.Object.GetDeletionTimestamp() != nil {
			line += fmt.Sprintf(" stop in %ds", *c.Object.GetDeletionGracePeriodSeconds())
		}
		if refs := c.Object.GetOwnerReferences(); c.Verb == controller.Update && c.Ref.Resource == controller.Pods {
			line += fmt.Sprintf(" owners %d", len(refs))
		}
		if f := c.Object.GetFinalizers(); len(f) > 0 && c.Verb == controller.Update {
			line += fmt.Sprint(" finalizers ", f)
		}
		if rs, ok := c.Object.(*appsv1.ReplicaSet); ok && c.Verb == controller.Update && rs.Status.ObservedGeneration > 0 {
			line += fmt.Sprintf(" have %d ready %d available %d", rs.Status.Replicas, rs.Status.ReadyReplicas, rs.Status.AvailableReplicas)
			if n := rs.Status.TerminatingReplicas; *n > 0 {
				line += fmt.Sprint(" stopping ", *n)
			}
		}
		out = append(out, line)
	}
	return out
}

func newEnv() controller.Env {
	s := sim{now: epoch}
	return s.env()
}

func TestReplicaSet(t *testing.T) {
	for _, tc := range []struct {
		name     string
		replicas int32
		change   func(*appsv1.ReplicaSet)
		pods     []*corev1.Pod
		want     []string
		due      time.Duration
	}{
		{name: "makes what is missing", replicas: 2, pods: []*corev1.Pod{aPod("a")}, want: []string{
			"create pods", "update replicasets.apps web have 2 ready 1 available 1"}},
		{name: "replaces what failed or is going", replicas: 2, pods: []*corev1.Pod{aPod("a", failed), aPod("b", stopping)}, want: []string{
			"create pods", "create pods", "update replicasets.apps web have 2 ready 0 available 0 stopping 1"}},
		{name: "waits for one that may run at most once", replicas: 2, pods: []*corev1.Pod{aPod("a", stopping, once), aPod("b", stopping)}, want: []string{
			"create pods", "update replicasets.apps web have 1 ready 0 available 0 stopping 2"}},
		{name: "takes away what is too much", replicas: 1, pods: []*corev1.Pod{aPod("a"), aPod("b", notReady)}, want: []string{
			"update pods b stop in 30s owners 1", "update replicasets.apps web have 1 ready 1 available 1 stopping 1"}},
		{name: "an unbound pod goes at once", replicas: 0, pods: []*corev1.Pod{aPod("a", unbound)}, want: []string{
			"delete pods a", "update replicasets.apps web have 0 ready 0 available 0"}},
		{name: "adopts an orphan", replicas: 1, pods: []*corev1.Pod{aPod("a", orphan)}, want: []string{
			"update pods a owners 1", "update replicasets.apps web have 1 ready 1 available 1"}},
		{name: "releases what no longer matches", replicas: 0, pods: []*corev1.Pod{aPod("a", relabelled)}, want: []string{
			"update pods a owners 0", "update replicasets.apps web have 0 ready 0 available 0"}},
		{name: "leaves others alone", replicas: 0, pods: []*corev1.Pod{aPod("a", foreign), aPod("b", orphan, relabelled)}, want: []string{
			"update replicasets.apps web have 0 ready 0 available 0"}},
		{name: "one that is being deleted makes and adopts nothing", replicas: 3,
			change: func(rs *appsv1.ReplicaSet) {
				rs.DeletionTimestamp = new(metav1.NewTime(epoch))
				rs.DeletionGracePeriodSeconds = new(int64)
			},
			pods: []*corev1.Pod{aPod("a"), aPod("b", orphan)}, want: []string{"update replicasets.apps web stop in 0s have 1 ready 1 available 1"}},
		{name: "counts what is stopping", replicas: 1, change: func(rs *appsv1.ReplicaSet) { rs.Status.TerminatingReplicas = new(int32) },
			pods: []*corev1.Pod{aPod("a"), aPod("b", stopping), aPod("c", stopping, failed), aPod("d", notReady)}, want: []string{
				"update pods d stop in 30s owners 1", "update replicasets.apps web have 1 ready 1 available 1 stopping 2"}},
		{name: "a pod is available after minReadySeconds", replicas: 1, change: func(rs *appsv1.ReplicaSet) { rs.Spec.MinReadySeconds = 60 },
			pods: []*corev1.Pod{aPod("a")}, want: []string{"update replicasets.apps web have 1 ready 1 available 0"}, due: 10 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rs := replicaSet(tc.replicas)
			if tc.change != nil {
				tc.change(rs)
			}
			got := controller.ReplicaSet(controller.ReplicaSetInput{ReplicaSet: rs, Pods: tc.pods}, newEnv())
			if !slices.Equal(tell(got), tc.want) {
				t.Errorf("got  %q\nwant %q", tell(got), tc.want)
			}
			if tc.due > 0 && !got.Due.Equal(epoch.Add(tc.due)) || tc.due == 0 && !got.Due.IsZero() {
				t.Errorf("due %v", got.Due)
			}
		})
	}
}

func TestWhichPodGoesFirst(t *testing.T) {
	later := func(d time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(p.CreationTimestamp.Add(d)) }
	}
	readyLater := func(p *corev1.Pod) {
		p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(epoch)
	}
	cost := func(n string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: n} }
	}
	restarted := func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 4}} }
	on := func(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }
	// In the order in which they go.
	order := []*corev1.Pod{
		aPod("unbound", unbound), aPod("pending", pending), aPod("not-ready", notReady), aPod("cheap", cost("-5")),
		aPod("double-1", on("x"), readyLater), aPod("double-2", on("x")), aPod("ready-later", readyLater), aPod("restarted", restarted),
		aPod("younger", later(time.Second)), aPod("plain"), aPod("dear", cost("7")),
	}
	for n := range order {
		pods := slices.Clone(order)
		slices.Reverse(pods)
		var gone []string
		r := controller.ReplicaSet(controller.ReplicaSetInput{ReplicaSet: replicaSet(int32(len(order) - n)), Pods: pods}, newEnv())
		for _, c := range r.Changes {
			if c.Ref.Resource == controller.Pods {
				gone = append(gone, c.Ref.Name)
			}
		}
		var want []string
		for _, p := range order[:n] {
			want = append(want, p.Name)
		}
		if !slices.Equal(gone, want) {
			t.Errorf("%d go: %v, want %v", n, gone, want)
		}
	}
}

func TestAPodThatMayNotBeCreatedIsToldAndTriedAgain(t *testing.T) {
	env := (&sim{now: epoch}).env()
	env.Admit = func(*corev1.Pod) error { return errors.New("no PriorityClass with name x was found") }
	r := controller.ReplicaSet(controller.ReplicaSetInput{ReplicaSet: replicaSet(3)}, env)
	if len(r.Events) != 1 || r.Events[0].Reason != "FailedCreate" || !strings.Contains(r.Events[0].Message, `pods "web-" is forbidden: no PriorityClass`) {
		t.Errorf("events %+v", r.Events)
	}
	if r.Due.IsZero() {
		t.Error("it is never tried again")
	}
	failing := r.Changes[0].Object.(*appsv1.ReplicaSet)
	if len(r.Changes) != 1 || len(failing.Status.Conditions) != 1 || failing.Status.Conditions[0].Type != appsv1.ReplicaSetReplicaFailure {
		t.Fatalf("changes %v, conditions %v", tell(r), failing.Status.Conditions)
	}
	env.Admit = nil
	r = controller.ReplicaSet(controller.ReplicaSetInput{ReplicaSet: failing}, env)
	healed := r.Changes[len(r.Changes)-1].Object.(*appsv1.ReplicaSet)
	if len(healed.Status.Conditions) != 0 || healed.Status.Replicas != 3 {
		t.Errorf("status after it may: %+v", healed.Status)
	}
}

func TestPodsOfOtherRevisionsDoubleANodeUp(t *testing.T) {
	r := controller.ReplicaSet(controller.ReplicaSetInput{
		ReplicaSet: replicaSet(1), Pods: []*corev1.Pod{aPod("a"), aPod("b")},
		Siblings: func() map[string]int { return map[string]int{"on-b": 1} },
	}, newEnv())
	if got := tell(r)[0]; got != "update pods b stop in 30s owners 1" {
		t.Error(got)
	}
}

// TestALargeDecisionIsMadeInParts has each kind of decision that concerns many objects change at most two.
func TestALargeDecisionIsMadeInParts(t *testing.T) {
	env := newEnv()
	env.Most = 2
	many := func(changes ...func(*corev1.Pod)) (pods []*corev1.Pod) {
		for i := range 5 {
			pods = append(pods, aPod(fmt.Sprint("p", i), changes...))
		}
		return pods
	}
	depend := func(pods []*corev1.Pod) (out []controller.Dependent) {
		for _, p := range pods {
			out = append(out, controller.Dependent{Ref: controller.Ref{Resource: controller.Pods, Namespace: p.Namespace, Name: p.Name}, Object: p})
		}
		return out
	}
	set := func(replicas int32, pods []*corev1.Pod) controller.Result {
		return controller.ReplicaSet(controller.ReplicaSetInput{ReplicaSet: replicaSet(replicas), Pods: pods}, env)
	}
	closing := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", DeletionTimestamp: new(metav1.NewTime(epoch))}}
	for name, test := range map[string]struct {
		decided controller.Result
		want    []string
	}{
		"pods are missing":     {set(9, many()), []string{"create pods", "create pods", "update replicasets.apps web have 7 ready 5 available 5"}},
		"there are too many":   {set(0, many()), []string{"update pods p0 stop in 30s owners 1", "update pods p1 stop in 30s owners 1", "update replicasets.apps web have 3 ready 3 available 3 stopping 2"}},
		"pods are adopted":     {set(5, many(orphan)), []string{"update pods p0 owners 1", "update pods p1 owners 1"}},
		"the last are adopted": {set(3, many(orphan)[:2]), []string{"update pods p0 owners 1", "update pods p1 owners 1", "update replicasets.apps web have 2 ready 2 available 2"}},
		"dependents are freed": {controller.Garbage(controller.GarbageInput{
			Ref: controller.Ref{Resource: controller.Pods, Namespace: "default", Name: "a"}, Object: aPod("a", finalized("orphan")),
			Dependents: depend(many(func(p *corev1.Pod) { ownedBy(p, true, "self") })),
		}, env), []string{"update pods p0 owners 0", "update pods p1 owners 0"}},
		"a namespace ends": {controller.Namespace(controller.NamespaceInput{Namespace: closing, Content: depend(append(many(stopping), many()...))}, env),
			[]string{"update pods p0 stop in 30s owners 1", "update pods p1 stop in 30s owners 1"}},
	} {
		if got := tell(test.decided); !slices.Equal(got, test.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, test.want)
		}
	}
}
