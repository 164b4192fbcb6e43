package autoscaler

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"covey.dev/covey/store"
)

// fixed are samples that stay as they are.
type fixed struct{ samples Samples }

// Sample implements Sampler.
func (f fixed) Sample(context.Context, []string, []types.NamespacedName) Samples { return f.samples }

// BenchmarkAStepOfManyAutoscalers is a step of 1,000 autoscaled Deployments with 10,000 pods on 100 nodes whose load is steady. It
// fails when a step writes. BenchmarkSamplesOfManyNodes of package api/metrics is what their samples cost beside it.
func BenchmarkAStepOfManyAutoscalers(b *testing.B) {
	const workloads, pods, nodes = 1000, 10, 100
	s := newSite(b)
	f := fixed{Samples{Containers: map[Container]Use{}}}
	for i := range workloads {
		s.write(func(tx *store.Tx) {
			name := fmt.Sprintf("web-%d", i)
			meta := func(name, owner string) metav1.ObjectMeta {
				m := metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}
				if owner != "" {
					m.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(owner), Controller: ptr.To(true)}}
				}
				return m
			}
			tx.Create(store.Key{Resource: "deployments.apps", Namespace: "default", Name: name},
				&appsv1.Deployment{ObjectMeta: meta(name, ""), Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](pods)}})
			tx.Create(store.Key{Resource: "replicasets.apps", Namespace: "default", Name: name + "-set"}, &appsv1.ReplicaSet{ObjectMeta: meta(name+"-set", name)})
			for j := range pods {
				pod := readyPod(meta(fmt.Sprintf("%s-set-%d", name, j), name+"-set"))
				pod.Spec.NodeName = fmt.Sprintf("n%d", (i*pods+j)%nodes)
				tx.Create(store.Key{Resource: "pods", Namespace: "default", Name: pod.Name}, pod)
				f.samples.Containers[Container{"default", pod.Name, "web"}] = Use{MilliCPU: 50, Memory: 1 << 20}
			}
			h := newHPA(s.uid())
			h.Name, h.Spec.ScaleTargetRef.Name, h.Spec.MaxReplicas = name, name, 2*pods
			tx.Create(store.Key{Resource: resource, Namespace: "default", Name: name}, h)
		})
	}
	s.scale.cfg.Sampler = f
	s.step(3) // the first one writes what is measured
	before, began := s.Snapshot().Revision(), processor(b)
	for b.Loop() {
		s.step(1)
	}
	b.ReportMetric(100*(processor(b)-began).Seconds()/float64(b.N)/defaultStep.Seconds(), "%-of-a-core")
	if n := s.Snapshot().Revision() - before; n != 0 {
		b.Errorf("%d writes", n)
	}
}

// processor is the time that this process has had of it, whatever else the machine does.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
