package autoscaler

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"covey.dev/covey/store"
)

// site is a store with a Deployment web whose pods are all ready, and an autoscaler on it.
type site struct {
	*store.Store
	t     testing.TB
	clock *clocktesting.FakeClock
	scale *Autoscaler

	mu       sync.Mutex
	milli    int64                        // what each pod uses
	silent   bool                         // nodes don't answer
	use      func(pod string) (Use, bool) // instead of milli; false for one that was not measured
	sampled  int
	requests Requests
	uids     int
}

func newSite(t testing.TB) *site {
	t.Helper()
	st, err := store.Open(store.Config{Dir: t.TempDir(), NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Store: st, t: t, clock: clocktesting.NewFakeClock(time.Now())}
	s.background(st.Run)
	select {
	case <-st.Leading():
	case <-time.After(30 * time.Second):
		t.Fatal("the store does not lead")
	}
	s.scale = New(Config{Store: st, Sampler: s, Targets: deployments, Clock: s.clock, NewUID: s.uid, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	return s
}

// newScaled is a site with a Deployment of so many replicas, and an autoscaler for it.
func newScaled(t testing.TB, replicas int32, change ...func(*autoscalingv2.HorizontalPodAutoscaler)) *site {
	t.Helper()
	s := newSite(t)
	s.deploy(replicas)
	s.autoscale(change...)
	return s
}

// tenOf is a metric by which each pod is to have ten requests.
func tenOf(name string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity.NewQuantity(10, quantity.DecimalSI)},
	}}
}

// background runs something until the test or the returned func ends it.
func (s *site) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

func (s *site) uid() types.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uids++
	return types.UID(fmt.Sprintf("uid-%d", s.uids))
}

func deployments(group, kind string) (Target, bool) {
	return Target{
		Resource: "deployments.apps",
		Replicas: func(obj store.Object) int32 { return *obj.(*appsv1.Deployment).Spec.Replicas },
		Resize: func(obj store.Object, n int32) store.Object {
			d := obj.(*appsv1.Deployment).DeepCopy()
			d.Spec.Replicas = &n
			return d
		},
	}, group == "apps" && kind == "Deployment"
}

// Sample implements Sampler.
func (s *site) Sample(_ context.Context, nodes []string, requests []types.NamespacedName) Samples {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sampled++
	out := Samples{Containers: map[Container]Use{}, Requests: map[types.NamespacedName]Requests{}}
	if s.silent || len(nodes) == 0 {
		return out
	}
	for pod := range store.List[*corev1.Pod](s.Snapshot(), "pods", "") {
		use, ok := Use{MilliCPU: s.milli, Memory: s.milli << 20}, true
		if s.use != nil {
			use, ok = s.use(pod.Name)
		}
		for i := range pod.Spec.Containers {
			if ok {
				out.Containers[Container{pod.Namespace, pod.Name, pod.Spec.Containers[i].Name}] = use
			}
		}
		for i := range pod.Spec.InitContainers {
			out.Containers[Container{pod.Namespace, pod.Name, pod.Spec.InitContainers[i].Name}] = use
		}
	}
	for _, name := range requests {
		out.Requests[name] = s.requests
	}
	return out
}

func (s *site) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *site) write(fn func(tx *store.Tx)) {
	s.t.Helper()
	if _, err := s.Update(s.t.Context(), func(tx *store.Tx) error { fn(tx); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// deploy makes the Deployment with its replica set and pods, or gives it another number of them.
func (s *site) deploy(replicas int32) {
	s.t.Helper()
	s.write(func(tx *store.Tx) {
		key := store.Key{Resource: "deployments.apps", Namespace: "default", Name: "web"}
		meta := func(name string, owner types.UID) metav1.ObjectMeta {
			m := metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-of-" + name)}
			if owner != "" {
				m.OwnerReferences = []metav1.OwnerReference{{UID: owner, Controller: ptr.To(true)}}
			}
			return m
		}
		d := &appsv1.Deployment{ObjectMeta: meta("web", ""), Spec: appsv1.DeploymentSpec{Replicas: &replicas}}
		if rec, ok := tx.Get(key); ok {
			tx.Put(key, d, rec.Revision())
		} else {
			tx.Create(key, d)
			tx.Create(store.Key{Resource: "replicasets.apps", Namespace: "default", Name: "web-1"},
				&appsv1.ReplicaSet{ObjectMeta: meta("web-1", d.UID)})
		}
		for i := range int32(30) {
			name := fmt.Sprintf("web-1-%d", i)
			key := store.Key{Resource: "pods", Namespace: "default", Name: name}
			rec, there := tx.Get(key)
			switch {
			case there && i >= replicas:
				tx.Delete(key, rec.Revision())
			case !there && i < replicas:
				tx.Create(key, readyPod(meta(name, "uid-of-web-1")))
			}
		}
	})
}

func readyPod(meta metav1.ObjectMeta) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: meta,
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "web", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse("100m")},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

var hpaKey = store.Key{Resource: resource, Namespace: "default", Name: "web"}

// newHPA is an autoscaler of web: 50 % of the requested processor, from 1 to 10, without windows.
func newHPA(uid types.UID) *autoscalingv2.HorizontalPodAutoscaler {
	now := func(seconds int32) *autoscalingv2.HPAScalingRules {
		return &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &seconds, Policies: []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: 100, PeriodSeconds: 1},
		}}
	}
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: uid, Generation: 1, Annotations: map[string]string{alphaNote: "0"}},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MinReplicas:    ptr.To[int32](1), MaxReplicas: 10,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](50)},
			}}},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: now(0), ScaleDown: now(0)},
		},
	}
}

// autoscale makes the autoscaler, changed by some functions.
func (s *site) autoscale(change ...func(*autoscalingv2.HorizontalPodAutoscaler)) {
	s.t.Helper()
	h := newHPA(s.uid())
	for _, f := range change {
		f(h)
	}
	s.write(func(tx *store.Tx) { tx.Create(hpaKey, h) })
}

func (s *site) hpa() *autoscalingv2.HorizontalPodAutoscaler {
	rec, _ := s.Snapshot().Get(hpaKey)
	return rec.Object().(*autoscalingv2.HorizontalPodAutoscaler)
}

func (s *site) replicas() int32 {
	rec, _ := s.Snapshot().Get(store.Key{Resource: "deployments.apps", Namespace: "default", Name: "web"})
	return *rec.Object().(*appsv1.Deployment).Spec.Replicas
}

// until lets time pass, step by step, until a condition holds.
func (s *site) until(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: never; the autoscaler says %+v", what, s.hpa().Status)
		}
		if s.clock.HasWaiters() {
			s.clock.Step(defaultStep)
		}
		time.Sleep(time.Millisecond)
	}
}

// steps waits for this many measurements more.
func (s *site) steps(n int) {
	s.t.Helper()
	var from int
	s.set(func() { from = s.sampled })
	s.until("measured", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.sampled >= from+n })
}

func reason(h *autoscalingv2.HorizontalPodAutoscaler, kind autoscalingv2.HorizontalPodAutoscalerConditionType) string {
	for _, c := range h.Status.Conditions {
		if c.Type == kind {
			return c.Reason
		}
	}
	return ""
}

func (s *site) events() string {
	var out []string
	for e := range store.List[*corev1.Event](s.Snapshot(), "events", "") {
		out = append(out, e.Type+" "+e.Reason+" "+e.Message)
	}
	return strings.Join(out, "\n")
}

func TestASizeFollowsTheLoad(t *testing.T) {
	s := newScaled(t, 2)
	s.set(func() { s.milli = 200 }) // 400 of two, at 50 each
	s.background(s.scale.Run)
	s.until("8 replicas", func() bool { return s.replicas() == 8 })
	s.deploy(8)
	s.set(func() { s.milli = 10 })
	s.until("2 replicas", func() bool { return s.replicas() == 2 })
	s.deploy(2)
	s.set(func() { s.milli = 50 })
	s.until("settled", func() bool { return reason(s.hpa(), autoscalingv2.AbleToScale) == "ReadyForNewScale" })
	said := s.events()
	for _, want := range []string{
		"Normal SuccessfulRescale New size: 8; reason: cpu resource utilization (percentage of request) above target; measured 400m, estimated 400m",
		"New size: 2; reason: All metrics below target",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no event %q in\n%s", want, said)
		}
	}
	h := s.hpa()
	if h.Status.LastScaleTime == nil || reason(h, autoscalingv2.ScalingActive) != "ValidMetricFound" || len(h.Status.CurrentMetrics) != 1 {
		t.Errorf("status %+v", h.Status)
	}
	if seen := s.scale.Observations(); len(seen) != 1 || seen[0].Target != 50 || seen[0].Held != 2 {
		t.Errorf("observed %+v", seen)
	}
}

func TestASteadyLoadWritesNothing(t *testing.T) {
	s := newScaled(t, 2)
	s.set(func() { s.milli = 50 })
	s.background(s.scale.Run)
	s.until("told", func() bool { return len(s.hpa().Status.CurrentMetrics) == 1 })
	revision := s.Snapshot().Revision()
	for i := range int64(20) {
		s.set(func() { s.milli = 50 + i%5 - 2 })
		s.steps(1)
	}
	if now := s.Snapshot().Revision(); now != revision {
		t.Errorf("%d writes in 20 steps of a steady load", now-revision)
	}
	s.set(func() { s.milli = 40 })
	s.until("the new load is shown", func() bool { return *s.hpa().Status.CurrentMetrics[0].Resource.Current.AverageUtilization == 40 })
}

func TestWithoutAutoscalersNothingIsMeasured(t *testing.T) {
	s := newSite(t)
	s.deploy(1)
	s.background(s.scale.Run)
	s.autoscale()
	s.steps(2)
	s.write(func(tx *store.Tx) { rec, _ := tx.Get(hpaKey); tx.Delete(hpaKey, rec.Revision()) })
	s.until("asleep", func() bool { return len(s.scale.Observations()) == 0 && !s.clock.HasWaiters() })
}

func TestWhatIsNotKnownIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(s *site)
		change  func(h *autoscalingv2.HorizontalPodAutoscaler)
		kind    autoscalingv2.HorizontalPodAutoscalerConditionType
		reason  string
		event   string
	}{
		"no target": {
			prepare: func(s *site) { s.deploy(1) },
			change:  func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Spec.ScaleTargetRef.Name = "other" },
			kind:    autoscalingv2.AbleToScale, reason: "FailedGetScale", event: `deployments.apps "other" not found`,
		},
		"no kind with a size": {
			prepare: func(s *site) { s.deploy(1) },
			change:  func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Spec.ScaleTargetRef.Kind = "DaemonSet" },
			kind:    autoscalingv2.AbleToScale, reason: "FailedGetScale", event: "no scale subresource",
		},
		"nodes that don't answer": {
			prepare: func(s *site) { s.deploy(3); s.silent = true },
			kind:    autoscalingv2.ScalingActive, reason: "FailedGetResourceMetric", event: "none of the 3 ready pods was measured",
		},
		"no request": {
			prepare: func(s *site) { s.deploy(1); s.milli = 10 },
			change: func(h *autoscalingv2.HorizontalPodAutoscaler) {
				h.Spec.Metrics[0].Resource.Name = corev1.ResourceMemory
			},
			kind: autoscalingv2.ScalingActive, reason: "FailedGetResourceMetric", event: "missing request for memory in container web of Pod web-1-0",
		},
		"no such container": {
			prepare: func(s *site) { s.deploy(1) },
			change: func(h *autoscalingv2.HorizontalPodAutoscaler) {
				h.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ContainerResourceMetricSourceType, ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
					Name: corev1.ResourceCPU, Container: "side", Target: h.Spec.Metrics[0].Resource.Target,
				}}}
			},
			kind: autoscalingv2.ScalingActive, reason: "FailedGetContainerResourceMetric", event: "container side not present",
		},
		"a target of zero replicas": {
			prepare: func(s *site) { s.deploy(0) },
			kind:    autoscalingv2.ScalingActive, reason: "ScalingDisabled",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.prepare(s)
			if c.change == nil {
				c.change = func(*autoscalingv2.HorizontalPodAutoscaler) {}
			}
			s.autoscale(c.change)
			before := s.replicas()
			s.background(s.scale.Run)
			s.until(c.reason, func() bool { return reason(s.hpa(), c.kind) == c.reason })
			s.steps(3)
			if now := s.replicas(); now != before {
				t.Errorf("%d replicas became %d", before, now)
			}
			if said := s.events(); strings.Count(said, "\n") > 0 || !strings.Contains(said, c.event) {
				t.Errorf("want one event with %q; there are\n%s", c.event, said)
			}
		})
	}
}

func TestRequestsAreAMetric(t *testing.T) {
	s := newScaled(t, 2, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{tenOf("requests_per_second")}
	})
	s.set(func() { s.requests = Requests{PerSecond: 25} })
	s.background(s.scale.Run)
	s.until("5 replicas", func() bool { return s.replicas() == 5 })
}

// TestANewLeaderMakesNoJump: one that begins with a light load does not shrink before the window is over.
func TestANewLeaderMakesNoJump(t *testing.T) {
	s := newScaled(t, 6, func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Spec.Behavior = nil })
	s.set(func() { s.milli = 50 })
	stop := s.background(s.scale.Run)
	s.steps(3)
	stop()
	s.set(func() { s.milli = 1 })
	began := s.clock.Now()
	s.background(s.scale.Run)
	s.until("shrunk", func() bool { return s.replicas() == 1 })
	if after := s.clock.Now().Sub(began); after < 5*time.Minute {
		t.Errorf("shrank %v after the new leader began", after)
	}
}

func TestAHandThatScalesIsHeeded(t *testing.T) {
	s := newScaled(t, 2)
	s.set(func() { s.milli = 50 })
	s.background(s.scale.Run)
	s.steps(2)
	s.deploy(4)
	s.set(func() { s.milli = 50 })
	s.steps(3)
	if n := s.replicas(); n != 4 {
		t.Errorf("four replicas that are loaded as wanted became %d", n)
	}
	s.deploy(20)
	s.until("no more than the most", func() bool { return s.replicas() == 10 })
}
