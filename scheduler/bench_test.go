package scheduler

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

// BenchmarkRound measures what it costs to decide when one pod among many changes its readiness: the round after the
// change, without the commit. cpu-us is microseconds of CPU time per change.
func BenchmarkRound(b *testing.B) {
	for _, bench := range []struct{ sets, pods int }{{1, 500}, {20, 500}, {1, 10_000}} {
		b.Run(fmt.Sprintf("%d replica sets of %d pods", bench.sets, bench.pods), func(b *testing.B) {
			benchRound(b, bench.sets, bench.pods)
		})
	}
}

func benchRound(b *testing.B, sets, pods int) {
	ctx, cancel := context.WithCancel(context.Background())
	st, err := store.Open(store.Config{Dir: b.TempDir(), NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	<-st.Leading()
	var names []store.Key
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	for i := range sets {
		rs := benchSet(i, pods)
		for from := 0; from < pods; from += 500 {
			if _, err := st.Update(ctx, func(tx *store.Tx) error {
				if from == 0 {
					tx.Create(store.Key{Resource: controller.ReplicaSets, Namespace: "default", Name: rs.Name}, rs)
				}
				for j := from; j < min(from+500, pods); j++ {
					p := benchPod(rs, j, now)
					key := store.Key{Resource: controller.Pods, Namespace: "default", Name: p.Name}
					names = append(names, key)
					tx.Create(key, p)
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	s := New(Config{Store: st, Clock: clocktesting.NewFakeClock(now.Time)})
	if err := s.resync(ctx); err != nil {
		b.Fatal(err)
	}
	snap := st.Snapshot()
	decide := func() {
		r := newRound(s, snap)
		r.decide()
		r.undo()
		s.queue, s.due = newQueue(), map[work]time.Time{}
	}
	decide()
	var objects []*corev1.Pod // held by those who use them elsewhere, too
	for _, key := range names {
		rec, _ := snap.Get(key)
		objects = append(objects, rec.Object().(*corev1.Pod))
	}
	began := cpu(b)
	for i := 0; b.Loop(); i++ {
		n := i * 7919 % len(names)
		p := objects[n].DeepCopy()
		p.Status.Conditions[0].Status = corev1.ConditionFalse
		s.observe(names[n], p)
		decide()
		s.observe(names[n], objects[n])
	}
	b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(b.N), "cpu-us")
}

func benchSet(i, pods int) *appsv1.ReplicaSet {
	labels := map[string]string{"app": fmt.Sprint("web-", i)}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("web-", i), UID: types.UID(fmt.Sprint("rs-", i)), Generation: 1}}
	rs.Spec = appsv1.ReplicaSetSpec{Replicas: new(int32(pods)), Selector: &metav1.LabelSelector{MatchLabels: labels}}
	rs.Spec.Template.Labels = labels
	return rs
}

func benchPod(rs *appsv1.ReplicaSet, j int, now metav1.Time) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: fmt.Sprint(rs.Name, "-", j), UID: types.UID(fmt.Sprint(rs.Name, "-", j)), Labels: rs.Spec.Template.Labels, CreationTimestamp: now,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
	}}
	p.Spec.NodeName = fmt.Sprint("node-", j%20)
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "image", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}}}}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}}
	return p
}

func cpu(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
