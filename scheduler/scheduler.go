package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"covey.dev/covey/store"
)

// After a failed commit the next attempt waits this long, doubled each time up to the longest.
const (
	firstRetry   = 50 * time.Millisecond
	longestRetry = 5 * time.Second
)

// DefaultResources are the tables that are followed when Config names none.
var DefaultResources = []string{
	"configmaps", "deployments.apps", "events", "namespaces", "nodes", "poddisruptionbudgets.policy", "pods",
	"replicasets.apps", "secrets", "serviceaccounts",
}

// Config is what a Scheduler needs.
type Config struct {
	Store *store.Store
	Clock clock.WithDelayedExecution // nil: the real one
	// Now is the time that objects carry, which may be another than this machine's; nil: Clock's.
	Now    func() time.Time
	Logger *slog.Logger // nil: slog.Default()
	// AdmitPod fills in a pod made from a template what the API fills in for a user's pod, or refuses it as the API would; nil
	// adds nothing.
	AdmitPod func(*store.Snapshot, *corev1.Pod) error
	// Resources are all tables of the store (plural names with group): what may own something, be owned, or be in a
	// namespace. An owner of a kind that is not among them is taken to exist. Nil: DefaultResources.
	Resources []string
	// Observe is told of each round that was committed; it may be nil.
	Observe func(Round)
	// EndedPods is how many pods that have ended are kept, the youngest; 0: DefaultEndedPods.
	EndedPods int
}

// Round is what came of a round.
type Round struct {
	Scheduled, Unschedulable int // pods that were bound, and that found no node
	Took                     time.Duration
}

// DefaultEndedPods is how many pods that have ended are kept, as in Kubernetes.
const DefaultEndedPods = 12_500

// Scheduler runs the controllers and the placement.
type Scheduler struct {
	store     *store.Store
	clock     clock.WithDelayedExecution
	now       func() time.Time
	log       *slog.Logger
	tell      func(Round)
	admit     func(*store.Snapshot, *corev1.Pod) error
	resources map[string]bool

	watch *store.Watcher
	own   uint64 // the revision of the last own commit: its events say nothing new but of what lags
	lags  keys   // what the index has as it was before the last own commit
	index *index
	queue *queue
	due   map[work]time.Time

	taints map[string]seen // by node
	ready  map[string]bool // nodes
	most   int             // pods that have ended
	room   int             // how many changes a round makes now
}

// New returns a scheduler that does nothing until Run.
func New(cfg Config) *Scheduler {
	s := &Scheduler{
		store: cfg.Store, clock: cfg.Clock, now: cfg.Now, log: cfg.Logger, tell: cfg.Observe, admit: cfg.AdmitPod, resources: map[string]bool{},
		most: cmp.Or(cfg.EndedPods, DefaultEndedPods), room: maxEffects,
	}
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	if s.now == nil {
		s.now = s.clock.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if cfg.Resources == nil {
		cfg.Resources = DefaultResources
	}
	for _, r := range cfg.Resources {
		s.resources[r] = true
	}
	return s
}

// Run decides and commits until ctx ends, and then returns nil. It is to be called while this node leads; when the store
// says that it does not, the error wraps store.ErrNotLeader. It may be called again after it has returned.
func (s *Scheduler) Run(ctx context.Context) error {
	retry := firstRetry
	for {
		err := s.follow(ctx, func() { retry = firstRetry })
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrNotLeader):
			return fmt.Errorf("run the scheduler: %w", err)
		case errors.Is(err, store.ErrExpired):
			s.log.Info("the scheduler fell behind the watch and looks at everything again")
		default:
			s.log.Warn("the scheduler starts over", "err", err, "in", retry)
			if !s.sleep(ctx, retry) {
				return nil
			}
			retry = min(2*retry, longestRetry)
		}
	}
}

// follow looks at everything once and then at what changes. It returns with an error after which only looking at
// everything again is safe.
func (s *Scheduler) follow(ctx context.Context, progressed func()) error {
	if err := s.resync(ctx); err != nil {
		return err
	}
	for {
		if err := s.round(ctx); err != nil {
			return err
		}
		progressed()
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// resync builds the index from a state that includes every acknowledged write, and marks everything to be looked at.
func (s *Scheduler) resync(ctx context.Context) error {
	snap, err := s.store.Linearizable(ctx)
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	if s.watch, err = s.store.Watch(snap.Revision()); err != nil {
		return fmt.Errorf("watch the store: %w", err)
	}
	s.taints, s.ready = map[string]seen{}, map[string]bool{}
	s.own, s.lags, s.index, s.queue, s.due = 0, keys{}, newIndex(), newQueue(), map[work]time.Time{}
	for resource := range s.resources {
		for rec := range snap.List(resource, "") {
			s.observe(rec.Key(), rec.Object())
		}
	}
	s.markRequired()
	s.due[work{kind: expireEvents}] = s.clock.Now()
	return nil
}

// round commits one batch of decisions, if there are any, and reads its own changes back from the watch.
func (s *Scheduler) round(ctx context.Context) error {
	s.takeDue()
	s.takeWhole()
	if s.queue.empty() {
		return nil
	}
	wrote, began, seen := 0, s.clock.Now(), Round{}
	undo := func() {}
	revision, err := s.store.Update(ctx, func(tx *store.Tx) error {
		undo() // of an attempt that met a conflict
		r := newRound(s, tx.Snapshot())
		undo = r.undo
		r.decide()
		wrote, seen = r.view.write(tx), r.seen
		return nil
	})
	if err != nil {
		undo()
		switch {
		case errors.Is(err, store.ErrConflict):
			return s.catchUp(ctx, s.store.Snapshot().Revision())
		case errors.Is(err, store.ErrTooLarge) && s.room > 1:
			s.room = max(min(s.room, wrote)/4, 1)
			s.log.Info("a round was too large for a commit, and is decided in parts", "changes", s.room)
			return nil
		}
		return fmt.Errorf("commit a round: %w", err)
	}
	if seen.Took = s.clock.Now().Sub(began); s.tell != nil {
		s.tell(seen)
	}
	if wrote == 0 {
		return nil
	}
	s.room = min(2*s.room, maxEffects)
	s.own = revision
	clear(s.lags)
	return s.catchUp(ctx, revision)
}

// wait returns when something changed or is due; at once when a round left work over.
func (s *Scheduler) wait(ctx context.Context) error {
	if !s.queue.empty() {
		return ctx.Err()
	}
	waitCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	if at, ok := s.nextDue(); ok {
		left := at.Sub(s.clock.Now())
		if left <= 0 {
			return ctx.Err()
		}
		timer := s.clock.AfterFunc(left, cancel)
		defer timer.Stop()
		if !s.clock.Now().Before(at) {
			return ctx.Err() // the clock was set forward before the timer was
		}
	}
	err := s.receive(waitCtx)
	if err != nil && waitCtx.Err() != nil {
		return ctx.Err() // due, or the end
	}
	return err
}

// catchUp takes in the watch up to a revision that has been reached.
func (s *Scheduler) catchUp(ctx context.Context, revision uint64) error {
	for s.watch.Revision() < revision {
		if err := s.receive(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scheduler) receive(ctx context.Context) error {
	events, err := s.watch.Next(ctx)
	if err != nil {
		return fmt.Errorf("follow the watch: %w", err)
	}
	for _, e := range events {
		s.takeIn(e)
	}
	return nil
}

// takeIn observes an event. What others wrote before an own commit, and is received after it, lays an older state over
// what was decided; the own event then puts that right.
func (s *Scheduler) takeIn(e store.Event) {
	key := cmp.Or(e.Cur, e.Prev).Key()
	if _, lags := s.lags[key]; e.Revision == s.own && !lags {
		return
	}
	if e.Revision < s.own {
		s.lags[key] = struct{}{}
	}
	if e.Cur == nil {
		s.observe(key, nil)
		return
	}
	s.observe(key, e.Cur.Object())
}

func (s *Scheduler) sleep(ctx context.Context, d time.Duration) bool {
	timer := s.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
