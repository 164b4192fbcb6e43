package node

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/metrics"
	"covey.dev/covey/scheduler/autoscaler"
	"covey.dev/covey/store"
)

// sampleTime is how long an autoscaler waits for a node's samples.
const sampleTime = 3 * time.Second

func (n *node) newAutoscaler() *autoscaler.Autoscaler {
	return autoscaler.New(autoscaler.Config{
		Store: n.store, Sampler: &sampler{collector: n.usage, node: n}, Targets: scaled, NewUID: uuid.NewUUID, Now: n.clock.Stamp, Logger: n.log,
	})
}

// scaled finds a kind that has a size.
func scaled(group, name string) (autoscaler.Target, bool) {
	for _, k := range kind.All() {
		if k.Scale == nil || k.GVK.Group != group || k.GVK.Kind != name {
			continue
		}
		return autoscaler.Target{
			Resource: k.Resource(),
			Replicas: func(obj store.Object) int32 { return k.Scale.Get(obj).Spec.Replicas },
			Resize: func(obj store.Object, replicas int32) store.Object {
				out := obj.DeepCopyObject().(kind.Object)
				k.Scale.Set(out, replicas)
				k.PrepareUpdate(out, obj)
				return out
			},
		}, true
	}
	return autoscaler.Target{}, false
}

// sampler asks nodes for what their containers use, as `kubectl top` does.
type sampler struct {
	collector *metrics.Collector
	node      *node
}

// Sample implements autoscaler.Sampler.
func (s *sampler) Sample(ctx context.Context, nodes []string, requests []types.NamespacedName) autoscaler.Samples {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	out := autoscaler.Samples{
		Containers: map[autoscaler.Container]autoscaler.Use{}, Requests: map[types.NamespacedName]autoscaler.Requests{},
	}
	pods := s.podsOf(requests)
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, name := range nodes {
		asking.Go(func() {
			used, err := s.collector.Sample(ctx, name, pods[name])
			if err != nil {
				s.node.log.Debug("sample a node", "node", name, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for c, use := range used.Containers {
				out.Containers[autoscaler.Container(c)] = autoscaler.Use(use)
			}
			for p, r := range used.Pods {
				out.Requests[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = autoscaler.Requests(r)
			}
		})
	}
	asking.Wait()
	s.collector.Forget(func(name string) bool {
		_, ok := s.node.store.Snapshot().Get(store.Key{Resource: "nodes", Name: name})
		return ok
	})
	return out
}

// podsOf are pods by the nodes that they are on.
func (s *sampler) podsOf(names []types.NamespacedName) map[string][]metrics.Pod {
	out := map[string][]metrics.Pod{}
	snap := s.node.store.Snapshot()
	for _, name := range names {
		if rec, ok := snap.Get(store.Key{Resource: "pods", Namespace: name.Namespace, Name: name.Name}); ok {
			if pod, ok := rec.Object().(*corev1.Pod); ok {
				out[pod.Spec.NodeName] = append(out[pod.Spec.NodeName], metrics.Pod{Namespace: name.Namespace, Name: name.Name})
			}
		}
	}
	return out
}
