package autoscaler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"covey.dev/covey/store"
)

// step lets the autoscaler take so many steps, each when it is due.
func (s *site) step(n int) {
	s.t.Helper()
	for range n {
		s.clock.Step(defaultStep)
		s.scale.step(s.t.Context())
	}
}

// newLeader has another node lead, which remembers nothing.
func (s *site) newLeader() {
	s.scale = New(Config{Store: s.Store, Sampler: s, Targets: deployments, Clock: s.clock, NewUID: s.uid, Logger: s.scale.cfg.Logger})
}

// pod changes one of the Deployment's pods.
func (s *site) pod(i int, change func(*corev1.Pod)) {
	s.t.Helper()
	s.write(func(tx *store.Tx) {
		key := store.Key{Resource: "pods", Namespace: "default", Name: fmt.Sprintf("web-1-%d", i)}
		rec, _ := tx.Get(key)
		pod := rec.Object().DeepCopyObject().(*corev1.Pod)
		change(pod)
		tx.Put(key, pod, rec.Revision())
	})
}

func (s *site) wantReplicas(when string, want int32) {
	s.t.Helper()
	if got := s.replicas(); got != want {
		s.t.Errorf("%s: %d replicas, want %d; the autoscaler says %+v", when, got, want, s.hpa().Status)
	}
}

// uses says what each pod uses, by the number in its name; what is not in it was not measured.
func (s *site) uses(milli map[int]int64) {
	s.set(func() {
		s.use = func(pod string) (Use, bool) {
			var i int
			_, _ = fmt.Sscanf(pod, "web-1-%d", &i)
			m, ok := milli[i]
			return Use{MilliCPU: m, Memory: m << 20}, ok
		}
	})
}

// Each replica is to use 50m in these tests.

func TestReplicasThatAreNotReadyDontCount(t *testing.T) {
	s := newScaled(t, 4)
	for _, i := range []int{2, 3} {
		s.pod(i, func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })
	}
	s.uses(map[int]int64{0: 100, 1: 100, 2: 1000, 3: 1000}) // what starting takes is not load
	s.step(3)
	s.wantReplicas("two of four carry the load of four", 4)
	s.pod(0, func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })
	s.pod(1, func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })
	s.step(10)
	s.wantReplicas("none is ready", 4)
	if got := reason(s.hpa(), autoscalingv2.ScalingActive); got != "FailedGetResourceMetric" {
		t.Errorf("ScalingActive says %q", got)
	}
}

func TestWhatStartingTakesIsNoLoad(t *testing.T) {
	s := newScaled(t, 2)
	ready := s.clock.Now()
	s.pod(1, func(p *corev1.Pod) { p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(ready) })
	begin := ready.Add(-time.Second)
	s.set(func() {
		s.use = func(pod string) (Use, bool) {
			if pod == "web-1-1" {
				return Use{MilliCPU: 900, Since: begin}, true
			}
			return Use{MilliCPU: 50, Since: begin}, true
		}
	})
	s.step(3)
	s.wantReplicas("while the measurement began before it was ready", 2)
	s.set(func() { begin = ready.Add(time.Second) })
	s.step(1)
	s.wantReplicas("when it is load", 10)
}

func TestSamplesThatAreMissing(t *testing.T) {
	s := newScaled(t, 4)
	s.uses(map[int]int64{0: 10})
	s.step(10)
	s.wantReplicas("little load, of one of four", 4)
	s.uses(map[int]int64{0: 10, 1: 10, 2: 10})
	s.step(3)
	s.wantReplicas("little load, of three of four", 2)
	s.deploy(4)
	s.uses(map[int]int64{0: 160, 1: 160})
	s.step(3)
	s.wantReplicas("so much load of two that four are too few", 7)
}

func TestANodeThatIsCutOff(t *testing.T) {
	s := newScaled(t, 4)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
	s.write(func(tx *store.Tx) { tx.Create(store.Key{Resource: "nodes", Name: "n2"}, node) })
	for _, i := range []int{2, 3} {
		s.pod(i, func(p *corev1.Pod) { p.Spec.NodeName = "n2" })
	}
	s.uses(map[int]int64{0: 50, 1: 50})
	s.step(5)
	s.wantReplicas("while nobody knows where it is", 4)
	s.write(func(tx *store.Tx) {
		key := store.Key{Resource: "nodes", Name: "n2"}
		rec, _ := tx.Get(key)
		lost := node.DeepCopy()
		lost.Status.Conditions[0].Status = corev1.ConditionUnknown
		tx.Put(key, lost, rec.Revision())
	})
	s.uses(map[int]int64{0: 100, 1: 100})
	s.step(3)
	s.wantReplicas("the others carry its load", 4)
	s.uses(map[int]int64{0: 25, 1: 25})
	s.step(1)
	s.wantReplicas("the others say that there is little", 1)
}

func TestARequestCounterThatIsReset(t *testing.T) {
	s := newScaled(t, 4, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{tenOf("requests_per_second")}
	})
	s.set(func() { s.requests = Requests{PerSecond: 10} })
	s.step(2)
	s.set(func() { s.requests = Requests{PerSecond: math.NaN()} }) // as the collector says of a counter that went back
	s.step(1)
	s.wantReplicas("none has a rate", 4)
	s.set(func() { s.requests = Requests{PerSecond: 10} })
	s.step(2)
	s.wantReplicas("then", 4)
	if said := s.events(); said != "" {
		t.Errorf("one measurement that is missing was told:\n%s", said)
	}
}

// TestANewLeaderGoesOn: with a long memory the estimate of the last leader counts, not the moment that the new one happens to see.
func TestANewLeaderGoesOn(t *testing.T) {
	s := newScaled(t, 2, func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Annotations[alphaNote] = "0.9" })
	s.set(func() { s.milli = 50 })
	s.step(5)
	if got := s.hpa().Annotations[estimateNote]; got != "cpu=100m" {
		t.Errorf("the estimate is noted as %q", got)
	}
	revision := s.Snapshot().Revision()
	s.newLeader()
	s.set(func() { s.silent = true })
	s.step(1) // it has nothing to compare with
	if now := s.Snapshot().Revision(); now != revision {
		t.Errorf("a new leader writes of a load that goes on: %+v\n%s", s.hpa().Status, s.events())
	}
	s.set(func() { s.silent, s.milli = false, 500 }) // 1000 of two: by itself 10 replicas and more
	s.step(1)
	s.wantReplicas("0.9 * 100 + 0.1 * 1000 = 190", 4)
}

func TestAChangedTargetIsLeftToTheNextStep(t *testing.T) {
	s := newScaled(t, 1, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Spec.Behavior.ScaleUp.Policies = []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 2, PeriodSeconds: 60}}
	})
	s.set(func() {
		s.use = func(string) (Use, bool) {
			if s.sampled == 1 {
				s.deploy(2) // by hand, between the measurement and the decision
			}
			return Use{MilliCPU: 1000}, true
		}
	})
	s.step(1)
	s.wantReplicas("a hand was faster", 2)
	s.step(1)
	s.wantReplicas("what was not done is not counted by the policy", 4)
}

func TestARolloutIsOneLoad(t *testing.T) {
	s := newScaled(t, 4)
	s.write(func(tx *store.Tx) {
		set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-2", UID: "uid-of-web-2",
			OwnerReferences: []metav1.OwnerReference{{UID: "uid-of-web", Controller: ptr.To(true)}}}}
		tx.Create(store.Key{Resource: "replicasets.apps", Namespace: "default", Name: "web-2"}, set)
	})
	s.pod(0, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: s.clock.Now()} })
	s.pod(2, func(p *corev1.Pod) { p.OwnerReferences[0].UID = "uid-of-web-2" })
	s.pod(3, func(p *corev1.Pod) {
		p.OwnerReferences[0].UID = "uid-of-web-2"
		p.Status.Conditions[0].Status = corev1.ConditionFalse
	})
	s.uses(map[int]int64{0: 900, 1: 100, 2: 100, 3: 900})
	s.step(4)
	s.wantReplicas("an old and a new one carry 200", 4)
}

func TestNoneAndBackByHand(t *testing.T) {
	s := newScaled(t, 1, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Spec.MinReplicas = ptr.To[int32](0)
		h.Spec.Behavior.ScaleDown.StabilizationWindowSeconds = ptr.To[int32](60)
	})
	s.step(20)
	s.wantReplicas("without load", 0)
	s.deploy(0)
	s.step(20)
	if got := reason(s.hpa(), autoscalingv2.ScalingActive); got != "ScaledToZero" {
		t.Errorf("ScalingActive says %q", got)
	}
	s.deploy(1)
	s.step(10)
	s.wantReplicas("brought back by hand, without load yet", 1)
	s.set(func() { s.milli = 125 })
	s.step(2)
	s.wantReplicas("with load", 3)
}

// TestAnotherMetricBeginsAnew: an estimate in bytes is none in thousandths of a core.
func TestAnotherMetricBeginsAnew(t *testing.T) {
	s := newScaled(t, 2, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Annotations[alphaNote] = "0.9"
		h.Spec.Metrics[0].Resource = &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceMemory, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(quantity.MustParse("50Mi"))},
		}
	})
	s.set(func() { s.milli = 50 })
	s.step(3)
	s.write(func(tx *store.Tx) {
		rec, _ := tx.Get(hpaKey)
		h := rec.Object().DeepCopyObject().(*autoscalingv2.HorizontalPodAutoscaler)
		h.Generation++
		h.Spec.Metrics[0].Resource = &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](50)},
		}
		tx.Put(hpaKey, h, rec.Revision())
	})
	s.step(3)
	s.wantReplicas("as loaded as before", 2)
	if got := s.hpa().Annotations[estimateNote]; got != "cpu=100m" {
		t.Errorf("the estimate is %q", got)
	}
}

func TestOneTargetHasOneAutoscaler(t *testing.T) {
	s := newScaled(t, 2)
	s.write(func(tx *store.Tx) {
		other := s.hpa().DeepCopy()
		other.Name, other.UID = "other", "another"
		tx.Create(store.Key{Resource: resource, Namespace: "default", Name: "other"}, other)
	})
	s.set(func() { s.milli = 500 })
	s.step(3)
	s.wantReplicas("two autoscalers", 2)
	if h := s.hpa(); reason(h, autoscalingv2.ScalingActive) != "AmbiguousSelector" {
		t.Errorf("%+v", h.Status)
	}
}

func TestSidecarsCountAndInitContainersDont(t *testing.T) {
	s := newScaled(t, 2)
	for i := range 2 {
		s.pod(i, func(p *corev1.Pod) {
			side := *p.Spec.Containers[0].DeepCopy()
			side.Name, side.RestartPolicy = "side", ptr.To(corev1.ContainerRestartPolicyAlways)
			p.Spec.InitContainers = []corev1.Container{{Name: "setup"}, side}
		})
	}
	s.set(func() { s.milli = 100 }) // of each of two, which request 100 each
	s.step(2)
	s.wantReplicas("400 of two that are to have 100 each", 4)
}

// TestOneContainerIsScaledBy: the others may do what they like.
func TestOneContainerIsScaledBy(t *testing.T) {
	s := newScaled(t, 2, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ContainerResourceMetricSourceType, ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
			Name: corev1.ResourceCPU, Container: "web", Target: h.Spec.Metrics[0].Resource.Target,
		}}}
	})
	for i := range 2 {
		s.pod(i, func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "noise"}) })
	}
	s.set(func() { s.milli = 100 })
	s.step(2)
	s.wantReplicas("200 of two that are to have 50 each", 4)
}

// TestTheGreatestOfSeveralMetrics, and what is not known of one is no reason to shrink.
func TestTheGreatestOfSeveralMetrics(t *testing.T) {
	s := newScaled(t, 4, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Spec.Metrics = append([]autoscalingv2.MetricSpec{tenOf("requests_in_flight")}, h.Spec.Metrics...)
	})
	s.set(func() { s.milli, s.requests = 10, Requests{InFlight: math.NaN()} })
	s.step(10)
	s.wantReplicas("the requests are not known", 4)
	h := s.hpa()
	if reason(h, autoscalingv2.ScalingActive) != "FailedGetPodsMetric" || len(h.Status.CurrentMetrics) != 2 || h.Status.CurrentMetrics[1].Resource == nil {
		t.Errorf("%+v", h.Status)
	}
	s.set(func() { s.milli = 100 })
	s.step(1)
	s.wantReplicas("but the processor wants more", 8)
	s.deploy(8)
	s.set(func() { s.milli, s.requests = 10, Requests{InFlight: 7} })
	s.step(1)
	s.wantReplicas("56 requests want more than 80m", 6)
}

// TestALoadOnTheEdgeWritesLittle: what the noise changes with each measurement is not written with each.
func TestALoadOnTheEdgeWritesLittle(t *testing.T) {
	s := newScaled(t, 4, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Spec.Behavior = nil
		delete(h.Annotations, alphaNote)
	})
	random := rand.New(rand.NewPCG(3, 3))
	writes, hour := 0, int(time.Hour/defaultStep)
	for i := range 2 * hour {
		s.set(func() { s.milli = int64(37.5 + 3*random.NormFloat64()) }) // 150 of four: three or four replicas
		before := s.Snapshot().Revision()
		s.step(1)
		if i >= hour && s.Snapshot().Revision() != before {
			writes++
		}
	}
	s.wantReplicas("as it was", 4)
	if writes > 30 {
		t.Errorf("%d writes in an hour of a load that is steady but for noise", writes)
	}
}

// TestNodesAreAskedOnceForAll: autoscalers that were made at different times measure at the same time.
func TestNodesAreAskedOnceForAll(t *testing.T) {
	s := newScaled(t, 1)
	for i := range 3 {
		s.clock.Step(1700 * time.Millisecond)
		s.scale.step(s.t.Context())
		s.write(func(tx *store.Tx) {
			h := s.hpa().DeepCopy()
			h.Name = fmt.Sprint("late-", i)
			h.UID, h.Spec.ScaleTargetRef.Name = s.uid(), h.Name
			tx.Create(store.Key{Resource: resource, Namespace: "default", Name: h.Name}, h)
		})
	}
	s.step(2)
	from := s.sampled
	for range 60 {
		s.clock.Step(time.Second)
		s.scale.step(s.t.Context())
	}
	if n := s.sampled - from; n != 12 {
		t.Errorf("nodes were asked %d times in a minute of steps of five seconds", n)
	}
}

// TestAnotherAutoscalerIsFoundSoon: while one measures each five minutes.
func TestAnotherAutoscalerIsFoundSoon(t *testing.T) {
	s := newScaled(t, 1, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Name, h.Annotations[stepNote], h.Spec.ScaleTargetRef.Name = "web", "300", "other"
	})
	s.background(s.scale.Run)
	s.until("measured", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.sampled >= 1 })
	began := s.clock.Now()
	s.write(func(tx *store.Tx) {
		h := s.hpa().DeepCopy()
		h.Name, h.UID = "new", "new"
		delete(h.Annotations, stepNote)
		tx.Create(store.Key{Resource: resource, Namespace: "default", Name: "new"}, h)
	})
	s.steps(1)
	if after := s.clock.Now().Sub(began); after > 15*time.Second {
		t.Errorf("found after %v", after)
	}
}
