package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"covey.dev/covey/scheduler/autoscale"
	"covey.dev/covey/store"
)

// resource is the store's table of autoscalers.
const resource = "horizontalpodautoscalers.autoscaling"

// Container names a container of a pod.
type Container struct{ Namespace, Pod, Name string }

// Use is what a container uses: of the processor in thousandths of a core, of memory in bytes.
type Use struct {
	MilliCPU, Memory int64
	// Since is when the time began over which the processor was measured, by the clock of the container's node.
	Since time.Time
}

// Requests are what a pod says of its own requests; NaN for what it does not say.
type Requests struct{ PerSecond, InFlight float64 }

// Samples are what containers use on some nodes, and what pods say of their requests.
type Samples struct {
	Containers map[Container]Use
	Requests   map[types.NamespacedName]Requests
}

// Sampler measures the containers of nodes.
type Sampler interface {
	// Sample asks the nodes, all at once. What a node does not tell is missing in the answer. requests are the pods that
	// are to be asked for their requests.
	Sample(ctx context.Context, nodes []string, requests []types.NamespacedName) Samples
}

// Target is a kind that has a size.
type Target struct {
	Resource string // its table in the store: "deployments.apps"
	Replicas func(store.Object) int32
	// Resize is a copy of an object with another size, as the API would write it.
	Resize func(obj store.Object, replicas int32) store.Object
}

// Config is what an Autoscaler needs.
type Config struct {
	Store   *store.Store
	Sampler Sampler
	// Targets finds the kind that a scaleTargetRef names; false where there is none with a size.
	Targets func(group, kind string) (Target, bool)
	NewUID  func() types.UID
	Clock   clock.WithTicker // nil: the real one
	Now     func() time.Time // the time that events carry; nil: Clock's
	Logger  *slog.Logger
}

// Autoscaler keeps workloads at the size that their load wants.
type Autoscaler struct {
	cfg   Config
	facts facts // only Run's

	mu      sync.Mutex
	running map[types.UID]*workload
}

// workload is what is remembered of one autoscaler.
type workload struct {
	scaler autoscale.Scaler
	due    time.Time
	hpa    *autoscalingv2.HorizontalPodAutoscaler // at the last step; nil before the first
	target types.UID                              // what was scaled then
	seen   Observation

	reasons, values since // how long what its status shows has differed
	unknown         since // how long a metric has not been measured
}

// Observation is what the last step of an autoscaler came to, for metrics.
type Observation struct {
	Namespace, Name string
	Load, Estimate  float64 // of the metric that wants most; in thousandths of a core, bytes, or requests
	Target          float64 // per replica, in the same unit
	Wanted, Held    int32
}

// New returns an autoscaler that does nothing until Run.
func New(cfg Config) *Autoscaler {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Now == nil {
		cfg.Now = cfg.Clock.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Autoscaler{cfg: cfg, facts: newFacts(), running: map[types.UID]*workload{}}
}

// Run scales until ctx ends. It is to be called while this node leads, and begins anew each time.
func (a *Autoscaler) Run(ctx context.Context) error {
	a.begin()
	defer a.begin()
	for ctx.Err() == nil {
		if err := a.awaitAny(ctx); err != nil {
			break
		}
		next := a.step(ctx)
		if next.IsZero() {
			continue
		}
		timer := a.cfg.Clock.NewTimer(min(next.Sub(a.cfg.Clock.Now()), defaultStep)) // another autoscaler may have come
		select {
		case <-ctx.Done():
		case <-timer.C():
		}
		timer.Stop()
	}
	return nil
}

// begin forgets everything.
func (a *Autoscaler) begin() {
	a.facts = newFacts()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = map[types.UID]*workload{}
}

// Observations are what the last step of each autoscaler came to.
func (a *Autoscaler) Observations() []Observation {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Observation
	for _, w := range a.running {
		if w.seen.Name != "" {
			out = append(out, w.seen)
		}
	}
	return out
}

// awaitAny returns when there is an autoscaler, or with the error of ctx.
func (a *Autoscaler) awaitAny(ctx context.Context) error {
	for {
		snap := a.cfg.Store.Snapshot()
		if snap.Count(resource, "") > 0 {
			return ctx.Err()
		}
		a.begin()
		watch, err := a.cfg.Store.Watch(snap.Revision(), resource)
		if err == nil {
			_, err = watch.Next(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, store.ErrExpired) {
			return fmt.Errorf("follow the autoscalers: %w", err)
		}
	}
}

// step lets each autoscaler that is due decide once, writes what they decided, and says when the next is due; zero when there
// is none.
func (a *Autoscaler) step(ctx context.Context) (next time.Time) {
	now, snap := a.cfg.Clock.Now(), a.cfg.Store.Snapshot()
	due, next := a.due(snap, now)
	if len(due) == 0 {
		return next
	}
	w := a.facts.look(snap)
	cases := make([]*scaling, 0, len(due))
	for _, h := range due {
		cases = append(cases, a.find(w, h))
	}
	samples := a.cfg.Sampler.Sample(ctx, nodesOf(cases), askedOf(cases))
	if ctx.Err() != nil {
		return next
	}
	var changed []*scaling
	for _, c := range cases {
		if a.decide(c, samples, now) {
			changed = append(changed, c)
		}
	}
	scaled, err := a.write(ctx, changed, a.cfg.Now())
	if err != nil && ctx.Err() == nil {
		a.cfg.Logger.Warn("the autoscalers' decisions could not be written, they are taken anew", "err", err)
	}
	a.done(scaled, now)
	return next
}

// done notes which decisions have become true.
func (a *Autoscaler) done(scaled []*scaling, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range scaled {
		if w := a.running[c.hpa.UID]; w != nil {
			w.scaler.Scaled(now, c.current, c.status.DesiredReplicas)
		}
	}
}

// due are the autoscalers whose step has come, and when the next comes. It forgets those that are gone.
func (a *Autoscaler) due(snap *store.Snapshot, now time.Time) (due []*autoscalingv2.HorizontalPodAutoscaler, next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	there := map[types.UID]*workload{}
	for h := range a.facts.scalers.of(snap, resource) {
		w := a.running[h.UID]
		if w == nil {
			w = &workload{due: now}
		}
		there[h.UID] = w
		if !now.Before(w.due) {
			due = append(due, h)
			step := stepOf(h)
			w.due = now.Truncate(step).Add(step) // at the same times as others, so that nodes are asked once for all
		}
		if next.IsZero() || w.due.Before(next) {
			next = w.due
		}
	}
	a.running = there
	return due, next
}
