package controller_test

import (
	"fmt"
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/scheduler/controller"
)

func TestBudget(t *testing.T) {
	ready := func(n int, of types.UID) (out []controller.BudgetPod) {
		for i := range n {
			out = append(out, controller.BudgetPod{Name: fmt.Sprint(of, "-", i), Controller: of, Ready: true})
		}
		return out
	}
	one := func(p controller.BudgetPod) []controller.BudgetPod { return []controller.BudgetPod{p} }
	cat := func(lists ...[]controller.BudgetPod) (out []controller.BudgetPod) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	evicted := func(name string, ago time.Duration) map[string]metav1.Time {
		return map[string]metav1.Time{name: metav1.NewTime(epoch.Add(-ago))}
	}
	for _, tc := range []struct {
		name, spec string
		pods       []controller.BudgetPod // of web, which wants 5, by the replica sets web-1 and web-2, and db, which wants 3
		disrupted  map[string]metav1.Time
		want       string // healthy/desired of expected, allowed, reason
		due        time.Duration
	}{
		{name: "a number must be available", spec: "minAvailable: 2", pods: ready(3, "web-1"), want: "3/2 of 3, 1 SufficientPods"},
		{name: "too few are", spec: "minAvailable: 2", pods: ready(1, "web-1"), want: "1/2 of 1, 0 InsufficientPods"},
		{name: "without a workload", spec: "minAvailable: 1", pods: ready(2, ""), want: "2/1 of 2, 1 SufficientPods"},
		{name: "a part, rounded up, of what the workloads want", spec: "minAvailable: 50%", pods: ready(5, "web-1"), want: "5/3 of 5, 2 SufficientPods"},
		{name: "two replica sets of a deployment count once", spec: "minAvailable: 50%", pods: cat(ready(2, "web-1"), ready(3, "web-2")), want: "5/3 of 5, 2 SufficientPods"},
		{name: "two workloads add up", spec: "maxUnavailable: 1", pods: cat(ready(5, "web-1"), ready(2, "db")), want: "7/7 of 8, 0 InsufficientPods"},
		{name: "a number may be missing", spec: "maxUnavailable: 2", pods: ready(4, "web-1"), want: "4/3 of 5, 1 SufficientPods"},
		{name: "a part of 5, rounded up", spec: "maxUnavailable: 30%", pods: ready(5, "web-1"), want: "5/3 of 5, 2 SufficientPods"},
		{name: "all may", spec: "maxUnavailable: 100%", pods: ready(5, "web-1"), want: "5/0 of 5, 5 SufficientPods"},
		{name: "no pods", spec: "maxUnavailable: 1", want: "0/0 of 0, 0 InsufficientPods"},
		{name: "neither says anything", spec: "selector: {}", pods: ready(2, "web-1"), want: "2/0 of 2, 2 SufficientPods"},
		{name: "one is not ready, one going", spec: "minAvailable: 1",
			pods: cat(ready(2, "web-1"), one(controller.BudgetPod{Name: "x"}), one(controller.BudgetPod{Name: "y", Ready: true, Deleting: true})), want: "2/1 of 4, 1 SufficientPods"},
		{name: "one was let go a moment ago", spec: "minAvailable: 1", pods: ready(3, "web-1"), disrupted: evicted("web-1-0", time.Minute), want: "2/1 of 3, 1 SufficientPods, web-1-0", due: 61 * time.Second},
		{name: "one was let go, but it stayed", spec: "minAvailable: 1", pods: ready(3, "web-1"), disrupted: evicted("web-1-0", 3*time.Minute), want: "3/1 of 3, 2 SufficientPods"},
		{name: "one was let go and is gone", spec: "minAvailable: 1", pods: ready(3, "web-1"), disrupted: evicted("z", time.Minute), want: "3/1 of 3, 2 SufficientPods"},
		{name: "a workload that is not known", spec: "maxUnavailable: 1", pods: ready(1, "other"), want: `9/9 of 9, 0 SyncFailed found no controllers for pod "other-0"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "b", Generation: 4}}
			if err := yaml.UnmarshalStrict([]byte(tc.spec), &b.Spec); err != nil {
				t.Fatal(err)
			}
			b.Status = policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 9, DesiredHealthy: 9, ExpectedPods: 9, DisruptionsAllowed: 9, DisruptedPods: tc.disrupted}
			in := controller.BudgetInput{Budget: b, Pods: tc.pods, Scale: func(uid types.UID) (types.UID, int32, bool) {
				switch uid {
				case "web-1", "web-2":
					return "web", 5, true
				case "db":
					return "db", 3, true
				}
				return "", 0, false
			}}
			r := controller.Budget(in, newEnv())
			if len(r.Changes) != 1 {
				t.Fatalf("%d changes", len(r.Changes))
			}
			b = r.Changes[0].Object.(*policyv1.PodDisruptionBudget)
			st, c := b.Status, b.Status.Conditions[0]
			got := fmt.Sprintf("%d/%d of %d, %d %s", st.CurrentHealthy, st.DesiredHealthy, st.ExpectedPods, st.DisruptionsAllowed, c.Reason)
			for name := range st.DisruptedPods {
				got += ", " + name
			}
			if c.Message != "" {
				got += " " + c.Message
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if (c.Status == metav1.ConditionTrue) != (st.DisruptionsAllowed > 0) || c.LastTransitionTime.IsZero() {
				t.Errorf("condition %+v", c)
			}
			if want := epoch.Add(tc.due); tc.due > 0 && !r.Due.Equal(want) || tc.due == 0 && !r.Due.IsZero() {
				t.Errorf("due %v, want %v", r.Due, want)
			}
			in.Budget = b
			if again := controller.Budget(in, newEnv()); len(again.Changes)+len(again.Events) > 0 {
				t.Errorf("decided again: %+v", again)
			}
		})
	}
}
