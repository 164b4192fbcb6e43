package agent

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/agent/network"
)

// Agent runs the pods of one node.
type Agent struct {
	Config
	runtime  Runtime
	upstream Upstream
	network  *network.Network
	images   *puller
	exits    *exits
	statuses *statuses
	capacity corev1.ResourceList
	handler  http.Handler

	mu      sync.Mutex
	workers map[string]*worker // by pod UID
	swept   bool               // what earlier runs left was looked for
	running sync.WaitGroup
}

// New makes an agent that does nothing until Run.
func New(cfg Config, rt Runtime, up Upstream) (*Agent, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	capacity, err := machineCapacity(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("measure this machine: %w", err)
	}
	a := &Agent{
		Config: cfg, runtime: rt, upstream: up, capacity: capacity,
		images: &puller{runtime: rt}, exits: newExits(), statuses: newStatuses(up, cfg.Logger),
		workers: map[string]*worker{},
	}
	a.handler = a.newHandler()
	return a, nil
}

// Run registers the node and runs its pods until ctx ends. The containers go on without it.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	outer := ctx
	g, ctx := errgroup.WithContext(ctx)
	defer a.running.Wait()
	g.Go(func() error { return a.statuses.run(ctx) })
	g.Go(func() error { return a.runtime.Watch(ctx, a.exited) })
	g.Go(func() error {
		return a.upstream.Follow(ctx, a.NodeName, func(pods []*corev1.Pod) { a.follow(ctx, pods) })
	})
	if err := g.Wait(); outer.Err() == nil {
		return err
	}
	return nil
}

// prepare registers the node, again and again until it works, and sets up its part of the pod network.
func (a *Agent) prepare(ctx context.Context) error {
	cidr, err := network.ChooseCIDR()
	if err != nil {
		return err
	}
	node, err := a.register(ctx, cidr)
	if err != nil {
		return err
	}
	if cidr, err = netip.ParsePrefix(node.Spec.PodCIDR); err != nil {
		return fmt.Errorf("node %s: spec.podCIDR: %w", a.NodeName, err)
	}
	a.network, err = network.Open(a.InstanceID, cidr)
	return err
}

func (a *Agent) register(ctx context.Context, cidr netip.Prefix) (*corev1.Node, error) {
	for {
		node, err := a.upstream.Register(ctx, a.nodeObject(cidr))
		if err == nil {
			return node, nil
		}
		a.Logger.Warn("the node is not registered yet", "error", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// follow has one worker for each pod, and for each pod that is gone but left something on the machine.
func (a *Agent) follow(ctx context.Context, pods []*corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	bound := make(map[string]bool, len(pods))
	for _, pod := range pods {
		uid := string(pod.UID)
		bound[uid] = true
		if w := a.workers[uid]; w != nil {
			w.update(pod, false)
		} else {
			a.employ(ctx, newWorker(a, pod))
		}
	}
	for uid, w := range a.workers {
		if !bound[uid] {
			w.update(nil, true)
		}
	}
	if a.swept {
		return
	}
	a.swept = true
	for _, ref := range a.leftovers(ctx) {
		if a.workers[ref.UID] == nil {
			w := newWorker(a, unknownPod(ref))
			w.update(nil, true)
			a.employ(ctx, w)
		}
	}
}

func (a *Agent) employ(ctx context.Context, w *worker) {
	a.workers[w.ref.UID] = w
	a.running.Go(func() {
		w.run(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.workers, w.ref.UID)
		a.statuses.forget(w.ref)
	})
}

// leftovers are pods that something on the machine is of: containers or directories.
func (a *Agent) leftovers(ctx context.Context) []PodRef {
	refs := map[string]PodRef{}
	if list, err := a.runtime.List(ctx); err == nil {
		for _, c := range list {
			refs[c.Pod.UID] = c.Pod
		}
	}
	for _, dir := range []string{a.podsDir(), a.namespacesDir()} {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			if _, known := refs[entry.Name()]; !known {
				refs[entry.Name()] = PodRef{UID: entry.Name(), Name: "unknown", Namespace: "unknown"}
			}
		}
	}
	list := make([]PodRef, 0, len(refs))
	for _, ref := range refs {
		list = append(list, ref)
	}
	return list
}

func unknownPod(ref PodRef) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name, UID: types.UID(ref.UID)}}
}

// exited hears of a container's end.
func (a *Agent) exited(id string) {
	a.exits.tell(id)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		w.nudge()
	}
}

// Handler answers for this node's pods and images: logs, exec, port forwarding, image store.
func (a *Agent) Handler() http.Handler { return a.handler }

func (a *Agent) allocatable() corev1.ResourceList { return a.capacity }
