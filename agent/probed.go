package agent

import (
	"cmp"
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/probe"
	"covey.dev/covey/agent/usage"
)

// Measured is what a node's containers use, and how their probes went.
type Measured struct {
	Usage  *usage.Node
	Probes []ProbeCount
}

// ProbeCount is how often a probe of a container came to a result.
type ProbeCount struct {
	Namespace, Pod, Container string
	Type                      string // Startup, Liveness or Readiness
	Result                    string // successful or failed
	Count                     uint64
}

// Measure reads what the node and its containers use.
func (a *Agent) Measure(ctx context.Context) (*Measured, error) {
	node, err := a.readUsage(ctx, usage.Machine())
	if err != nil {
		return nil, err
	}
	return &Measured{Usage: node, Probes: a.probed.counts()}, nil
}

// probed counts checks by pod, container, type and result. It is safe for concurrent use.
type probed struct {
	mu   sync.Mutex
	pods map[PodRef]map[ProbeCount]uint64 // by what is counted, with no count in it
}

func (p *probed) add(pod PodRef, container, kind string, ok bool) {
	c := ProbeCount{Namespace: pod.Namespace, Pod: pod.Name, Container: container, Type: kind, Result: "failed"}
	if ok {
		c.Result = "successful"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pods == nil {
		p.pods = map[PodRef]map[ProbeCount]uint64{}
	}
	if p.pods[pod] == nil {
		p.pods[pod] = map[ProbeCount]uint64{}
	}
	p.pods[pod][c]++
}

// forget drops the counts of a pod that has gone.
func (p *probed) forget(pod PodRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pods, pod)
}

func (p *probed) counts() []ProbeCount {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []ProbeCount
	for _, of := range p.pods {
		for c, n := range of {
			c.Count = n
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b ProbeCount) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container),
			cmp.Compare(a.Type, b.Type), cmp.Compare(a.Result, b.Result))
	})
	return out
}

// loop runs a probe and counts how it goes.
func (w *worker) loop(ctx context.Context, kind string, spec *corev1.Container, p *corev1.Probe, c Container, t probe.Target, report func(probe.Verdict) (more bool)) {
	probe.Loop(ctx, p, c.StartedAt, t, func(v probe.Verdict) bool {
		w.probed.add(w.ref, spec.Name, kind, v.OK)
		return report(v)
	})
}
