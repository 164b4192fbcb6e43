package controller_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/scheduler/controller"
)

func TestTaintEviction(t *testing.T) {
	evicted := []string{"update pods a stop in 30s owners 1"}
	seen := func(key string, effect corev1.TaintEffect, ago time.Duration) controller.SeenTaint {
		return controller.SeenTaint{Taint: corev1.Taint{Key: key, Value: "v", Effect: effect}, Since: epoch.Add(-ago)}
	}
	const noExecute = corev1.TaintEffectNoExecute
	for _, tc := range []struct {
		name, tolerations string
		change            func(*corev1.Pod)
		taints            []controller.SeenTaint
		want              []string
		due               time.Duration
	}{
		{name: "not tolerated", taints: []controller.SeenTaint{seen("x", noExecute, 0)}, want: evicted},
		{name: "NoSchedule keeps who is there", taints: []controller.SeenTaint{seen("x", corev1.TaintEffectNoSchedule, 0)}},
		{name: "tolerated for ever", tolerations: "[{key: x, operator: Exists}]", taints: []controller.SeenTaint{seen("x", noExecute, time.Hour)}},
		{name: "by another value", tolerations: "[{key: x, value: w}]", taints: []controller.SeenTaint{seen("x", noExecute, 0)}, want: evicted},
		{name: "for another effect", tolerations: "[{key: x, operator: Exists, effect: NoSchedule}]", taints: []controller.SeenTaint{seen("x", noExecute, 0)}, want: evicted},
		{name: "for a while", tolerations: "[{key: x, operator: Exists, tolerationSeconds: 300}]", taints: []controller.SeenTaint{seen("x", noExecute, time.Minute)}, due: 4 * time.Minute},
		{name: "for long enough", tolerations: "[{key: x, operator: Exists, tolerationSeconds: 300}]", taints: []controller.SeenTaint{seen("x", noExecute, 5*time.Minute)}, want: evicted},
		{name: "less than no time", tolerations: "[{key: x, operator: Exists, tolerationSeconds: -1}]", taints: []controller.SeenTaint{seen("x", noExecute, 0)}, want: evicted},
		{
			name: "the first of two that end", tolerations: "[{key: x, operator: Exists, tolerationSeconds: 300}, {key: z, operator: Exists, tolerationSeconds: 60}]",
			taints: []controller.SeenTaint{seen("x", noExecute, 0), seen("z", noExecute, 0)}, due: time.Minute,
		},
		{name: "one of two is not tolerated", tolerations: "[{key: x, operator: Exists, tolerationSeconds: 300}]",
			taints: []controller.SeenTaint{seen("x", noExecute, 0), seen("y", noExecute, 0)}, want: evicted},
		{name: "what is going is left to go", change: stopping, taints: []controller.SeenTaint{seen("x", noExecute, 0)}},
		{name: "what has ended stays", change: failed, taints: []controller.SeenTaint{seen("x", noExecute, 0)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := aPod("a")
			if tc.change != nil {
				tc.change(p)
			}
			if err := yaml.UnmarshalStrict([]byte(tc.tolerations), &p.Spec.Tolerations); err != nil {
				t.Fatal(err)
			}
			r := controller.TaintEviction(p, tc.taints, newEnv())
			if got := tell(r); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if want := epoch.Add(tc.due); tc.due > 0 && !r.Due.Equal(want) || tc.due == 0 && !r.Due.IsZero() {
				t.Errorf("due %v, want %v", r.Due, want)
			}
			if len(r.Changes) == 0 {
				return
			}
			conditions := r.Changes[0].Object.(*corev1.Pod).Status.Conditions
			if c := conditions[len(conditions)-1]; c.Type != corev1.DisruptionTarget || c.Reason != "DeletionByTaintManager" || r.Events[0].Reason != "TaintManagerEviction" {
				t.Errorf("condition %+v, event %+v", c, r.Events[0])
			}
		})
	}
}

// TestAPodThatMayRunAtMostOnceWaitsForItsFence has pods on a node that is lost since some time.
func TestAPodThatMayRunAtMostOnceWaitsForItsFence(t *testing.T) {
	const wait = controller.FenceWait
	deleted, stopped := []string{"delete pods a"}, []string{"update pods a stop in 30s owners 1"}
	taint := func(key string, since time.Duration) controller.SeenTaint {
		return controller.SeenTaint{Taint: corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute}, Since: epoch.Add(-since)}
	}
	patient := func(p *corev1.Pod) {
		once(p)
		p.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, TolerationSeconds: new(int64(60))}}
	}
	onceStopping := func(p *corev1.Pod) { once(p); stopping(p) }
	for _, tc := range []struct {
		name   string
		change func(*corev1.Pod)
		taints []controller.SeenTaint
		want   []string
		due    time.Duration
	}{
		{name: "another one is asked to stop", taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, time.Second)}, want: stopped},
		{name: "another one that stops is left", change: stopping, taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, time.Hour)}},
		{name: "too early", change: once, taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, wait-time.Second)}, due: time.Second},
		{name: "in time", change: once, taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, wait)}, want: deleted},
		{name: "it is tolerated for longer", change: patient, taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, 50*time.Second)}, due: 10 * time.Second},
		{name: "deleted, too early", change: onceStopping, taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, 0)}, due: wait},
		{name: "deleted, in time", change: onceStopping, taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, wait)}, want: deleted},
		{name: "deleted on a node that is there", change: onceStopping, taints: []controller.SeenTaint{taint(corev1.TaintNodeNotReady, wait)}},
		{name: "the node is there and stops it", change: once, taints: []controller.SeenTaint{taint(corev1.TaintNodeNotReady, time.Second)}, want: stopped},
		{name: "somebody says that the node is off", change: once,
			taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, 0), taint(corev1.TaintNodeOutOfService, 0)}, want: deleted},
		{name: "said of a node that is there", change: once, taints: []controller.SeenTaint{taint(corev1.TaintNodeOutOfService, 0)}, want: stopped},
		{name: "any other that stops goes then", change: stopping,
			taints: []controller.SeenTaint{taint(corev1.TaintNodeUnreachable, 0), taint(corev1.TaintNodeOutOfService, 0)}, want: deleted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := aPod("a")
			if tc.change != nil {
				tc.change(p)
			}
			r := controller.TaintEviction(p, tc.taints, newEnv())
			if got := tell(r); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if want := epoch.Add(tc.due); tc.due > 0 && !r.Due.Equal(want) || tc.due == 0 && !r.Due.IsZero() {
				t.Errorf("due %v, want %v", r.Due, want)
			}
		})
	}
}
