package agent

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/agent/eviction"
	"covey.dev/covey/agent/fence"
	"covey.dev/covey/agent/network"
)

// Agent runs the pods of one node.
type Agent struct {
	Config
	runtime  Runtime
	upstream Upstream
	network  *network.Network
	routing  routing
	images   *puller
	holders  *holders
	registry Registry
	exits    *exits
	statuses *statuses
	capacity corev1.ResourceList
	handler  http.Handler
	keeper   *keeper
	guard    *fence.Guard // nil where there is none
	cidr     netip.Prefix // of the pods
	key      network.Key  // of WireGuard, where that is the overlay
	thin     atomic.Bool  // dead containers are to be removed: the disk is full

	telling     sync.Mutex // held while the node is told of, so that the last to be told is the newest
	registered  bool
	imageStatus []corev1.ContainerImage

	mu      sync.Mutex
	workers map[string]*worker // by pod UID
	probed  probed
	swept   bool // what earlier runs left was looked for
	running sync.WaitGroup
}

// New makes an agent that does nothing until Run.
func New(cfg Config, rt Runtime, up Upstream) (*Agent, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	thresholds, err := cfg.thresholds()
	if err != nil {
		return nil, err
	}
	capacity, err := machineCapacity(cfg.DataDir, cfg.MaxPods)
	if err != nil {
		return nil, fmt.Errorf("measure this machine: %w", err)
	}
	a := &Agent{
		Config: cfg, runtime: rt, upstream: up, capacity: capacity,
		exits: newExits(), statuses: newStatuses(up, cfg.Logger),
		workers: map[string]*worker{}, holders: &holders{Peers: cfg.Peers, self: cfg.NodeName}, routing: newRouting(),
	}
	a.registry = rt.Registry(RegistryConfig{Repositories: cfg.Repositories, Holders: a.others(), Changed: a.announce})
	a.images = &puller{runtime: rt, holders: a.others(), registry: a.registry, arrived: a.announce}
	a.handler = a.newHandler()
	if a.Observe == nil {
		a.Observe = observer(a.DataDir, rt.ImageDir())
	}
	a.keeper = newKeeper(a, thresholds)
	return a, a.openGuard()
}

// Run registers the node and runs its pods until ctx ends. The containers go on without it.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer a.network.Close()
	outer := ctx
	g, ctx := errgroup.WithContext(ctx)
	a.images.ctx = ctx
	defer a.images.running.Wait() // workers pull, so they end first
	defer a.running.Wait()
	g.Go(func() error { return a.statuses.run(ctx) })
	g.Go(func() error { return a.keeper.run(ctx) })
	g.Go(func() error { return a.runGuard(ctx) })
	g.Go(func() error { return a.runtime.Watch(ctx, func(id string) { a.exited(ctx, id) }) })
	g.Go(func() error {
		return a.upstream.Follow(ctx, a.NodeName, func(pods []*corev1.Pod, current bool) { a.follow(ctx, pods, current) })
	})
	g.Go(func() error { return a.upstream.FollowConfig(ctx, a.configChanged) })
	g.Go(func() error { return a.upstream.FollowNodes(ctx, a.nodesChanged) })
	g.Go(func() error { return a.keepRoutes(ctx) })
	g.Go(func() error { return a.followMachine(ctx) })
	if err := g.Wait(); outer.Err() == nil {
		return err
	}
	return nil
}

// prepare registers the node, again and again until it works, and sets up its part of the pod network.
func (a *Agent) prepare(ctx context.Context) error {
	if err := a.makeDirs(); err != nil {
		return err
	}
	if a.Overlay == network.OverlayWireGuard {
		key, err := network.LoadKey(filepath.Join(a.DataDir, "wireguard.key"))
		if err != nil {
			return err
		}
		a.key = key
	}
	cidr, err := network.ChooseCIDR(a.MaxPods)
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
	if room := network.Room(cidr); room < a.MaxPods {
		a.Logger.Warn("the node's pod network has fewer addresses than it takes pods: it keeps the size that it began with",
			"podCIDR", cidr.String(), "addresses", room, "maxPods", a.MaxPods)
	}
	a.telling.Lock()
	a.cidr, a.registered = cidr, true
	a.telling.Unlock()
	if a.network, err = network.Open(network.Config{InstanceID: a.InstanceID, CIDR: cidr, Overlay: a.Overlay, Key: a.key, Networks: a.Addresses()}); err != nil {
		return err
	}
	a.reserveAddresses()
	return nil
}

// makeDirs makes the directories of the pods. Others on the machine may not look into them: pods keep secrets there.
func (a *Agent) makeDirs() error {
	for _, dir := range []string{a.podsDir(), a.namespacesDir()} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o750); err != nil { //nolint:gosec // as the kubelet has it
			return err
		}
	}
	return nil
}

// reserveAddresses keeps the addresses of the pods that are there already from going to new ones.
func (a *Agent) reserveAddresses() {
	entries, _ := os.ReadDir(a.podsDir())
	for _, entry := range entries {
		if addr := a.knownAddress(entry.Name()); addr.IsValid() {
			a.network.Reserve(entry.Name(), addr)
		}
	}
}

func (a *Agent) register(ctx context.Context, cidr netip.Prefix) (*corev1.Node, error) {
	for {
		a.telling.Lock()
		a.countImages(ctx)
		node, err := a.upstream.Register(ctx, a.nodeObject(cidr))
		a.telling.Unlock()
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

// follow has one worker for each pod, and for each pod that is gone but left something on the machine. What is of no pod is
// removed only when the pods are current.
func (a *Agent) follow(ctx context.Context, pods []*corev1.Pod, current bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	bound := make(map[string]bool, len(pods))
	for _, pod := range pods {
		uid := string(pod.UID)
		bound[uid] = true
		if w := a.workers[uid]; w != nil {
			w.update(pod, false)
		} else {
			w := newWorker(a, pod)
			a.turnAway(w)
			a.employ(ctx, w)
		}
	}
	a.keeper.nudge()
	for uid, w := range a.workers {
		if !bound[uid] {
			w.update(nil, true)
		}
	}
	if current && !a.swept {
		a.swept = true
		a.running.Go(func() { a.sweep(ctx) })
	}
}

// sweep removes what an earlier run left of pods that are no more. It begins when the pods that are to be are known.
func (a *Agent) sweep(ctx context.Context) {
	refs, err := a.leftovers(ctx)
	for err != nil {
		a.Logger.Warn("cannot look for what is left of earlier pods, trying again", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		refs, err = a.leftovers(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ref := range refs {
		if a.workers[ref.UID] == nil {
			w := newWorker(a, unknownPod(ref))
			w.update(nil, true)
			a.employ(ctx, w)
		}
	}
	a.forgetUnknown()
}

func (a *Agent) employ(ctx context.Context, w *worker) {
	a.workers[w.ref.UID] = w
	a.running.Go(func() {
		w.run(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.workers, w.ref.UID)
		a.statuses.forget(w.ref)
		a.probed.forget(w.ref)
	})
}

// leftovers are pods that something on the machine is of: containers or directories.
func (a *Agent) leftovers(ctx context.Context) ([]PodRef, error) {
	list, err := a.runtime.List(ctx)
	if err != nil {
		return nil, err
	}
	refs := map[string]PodRef{}
	for i := range list {
		refs[list[i].Pod.UID] = list[i].Pod
	}
	for _, dir := range []string{a.podsDir(), a.namespacesDir()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if _, known := refs[entry.Name()]; !known {
				refs[entry.Name()] = PodRef{UID: entry.Name(), Name: "unknown", Namespace: "unknown"}
			}
		}
	}
	return slices.Collect(maps.Values(refs)), nil
}

func unknownPod(ref PodRef) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name, UID: types.UID(ref.UID)}}
}

// turnAway turns a pod that is new away while the node is short of something.
func (a *Agent) turnAway(w *worker) {
	if w.pod.Status.StartTime != nil || w.pod.DeletionTimestamp != nil {
		return // it was here before
	}
	if why := eviction.Refuse(w.pod, a.keeper.pressure()); why != "" {
		w.evict(&evicted{message: "Pod was rejected: " + why, grace: atOnce})
	}
}

// nudgeAll has all workers look again.
func (a *Agent) nudgeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		w.nudge()
	}
}

// exited hears of a container's end, or at first, without an ID, of ends that nobody heard of.
func (a *Agent) exited(ctx context.Context, id string) {
	if id == "" {
		a.exits.tellMissed(ctx, a.runtime)
	} else {
		a.exits.tell(id)
	}
	a.nudgeAll()
}

// configChanged tells the workers whose pods use a ConfigMap or Secret; without a name it may be any.
func (a *Agent) configChanged(namespace, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		w.configChanged(namespace, name)
	}
}

// imagesArrived tells the workers that wait for an image which is here now, or on another node.
func (a *Agent) imagesArrived(which func(ref string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		if w.wants(which) {
			w.imagesArrived()
		}
	}
}

// Handler answers for this node's pods and images: logs, exec, port forwarding, image store.
func (a *Agent) Handler() http.Handler { return a.handler }

func (a *Agent) allocatable() corev1.ResourceList { return a.capacity }
