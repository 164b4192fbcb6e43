package fence

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// renewEvery is how often the cluster is asked, and retryEvery how soon after it did not answer.
	renewEvery = Time / 4
	retryEvery = time.Second
	askTime    = 5 * time.Second
)

// Config is what a Guard is made with.
type Config struct {
	Dir      string   // is made where it is not there; in the state directory
	Watchdog []string // the command that runs Watchdog; the directory is added
	// Confirm asks the cluster which pods this node may run, by UID. What it says must have been so at some time after the call.
	Confirm func(context.Context) ([]string, error)
	Changed func() // is called when other pods than before may run
	Log     *slog.Logger
}

// Guard keeps the lease of the pods that may run at most once.
type Guard struct {
	Config
	now     func() time.Duration
	spawn   func(dir string, command []string) error
	telling sync.Mutex // held while the watchdog is told

	mu   sync.Mutex
	pods map[string]string // cgroups of those that are guarded, by UID
	may  map[string]bool   // those that were confirmed, while the watchdog knew them
	ends time.Duration     // of the lease
	wake chan struct{}     // holds one: there are other pods
}

// New makes a Guard that has the pods which an earlier one left.
func New(cfg Config) (*Guard, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	before, err := readLease(cfg.Dir)
	if err != nil {
		cfg.Log.Warn("what an earlier run has guarded is not known", "error", err)
		before = &lease{}
	}
	g := &Guard{Config: cfg, now: uptime, spawn: ensureWatchdog, pods: map[string]string{}, wake: make(chan struct{}, 1)}
	maps.Copy(g.pods, before.Pods)
	return g, nil
}

// Keep guards a pod, whose processes are in the cgroup and those below it.
func (g *Guard) Keep(uid, cgroup string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.pods[uid]; !known {
		g.pods[uid] = cgroup
		g.look()
	}
}

// Forget ends the guard of a pod of which nothing is left. After the last one the watchdog ends.
func (g *Guard) Forget(uid string) {
	g.mu.Lock()
	_, known := g.pods[uid]
	delete(g.pods, uid)
	left := len(g.pods)
	g.mu.Unlock()
	if known && left == 0 {
		if err := g.end(); err != nil {
			g.Log.Warn("the watchdog of pods that may run at most once was not told that there are none", "error", err)
		}
	}
}

// Guarded are the UIDs of the pods that are.
func (g *Guard) Guarded() []string { return slices.Collect(maps.Keys(g.guarded())) }

// guarded are the cgroups of the pods that are, by their UIDs.
func (g *Guard) guarded() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.pods)
}

func (g *Guard) look() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// May says whether a container of the pod may be started, or go on.
func (g *Guard) May(uid string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.may[uid] && g.now() < g.ends
}

// Run renews the lease until ctx ends. While no pod is guarded it sleeps.
func (g *Guard) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		var again <-chan time.Time
		if wait := g.renew(ctx); wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-g.wake:
		case <-again:
		case <-ctx.Done():
		}
	}
	return nil
}

// renew asks the cluster once and returns after what time to do it again; 0 is never.
func (g *Guard) renew(ctx context.Context) time.Duration {
	if len(g.guarded()) == 0 {
		return 0
	}
	began := g.now()
	askCtx, cancel := context.WithTimeout(ctx, askTime)
	confirmed, err := g.Confirm(askCtx)
	cancel()
	changed := false
	if err == nil {
		changed, err = g.hold(began+Time, confirmed)
	}
	if changed {
		g.Changed()
	}
	if err != nil {
		if ctx.Err() == nil {
			g.Log.Warn("the lease of the pods that may run at most once was not renewed", "left", max(g.left(), 0), "error", err)
		}
		return retryEvery
	}
	return renewEvery
}

func (g *Guard) left() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ends - g.now()
}

// hold has the watchdog know the lease before any pod may run by it, and reports whether others may than before.
func (g *Guard) hold(until time.Duration, confirmed []string) (changed bool, err error) {
	g.telling.Lock()
	defer g.telling.Unlock()
	l := &lease{Until: until, Pods: g.guarded()}
	if err := l.write(g.Dir); err != nil {
		return false, fmt.Errorf("write the lease: %w", err)
	}
	if len(l.Pods) == 0 {
		return false, nil
	}
	if err := g.spawn(g.Dir, g.Watchdog); err != nil {
		return false, err
	}
	may := map[string]bool{}
	for uid := range l.Pods {
		may[uid] = slices.Contains(confirmed, uid)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	changed = g.now() >= g.ends || !maps.Equal(may, g.may)
	g.may, g.ends = may, l.Until
	return changed, nil
}

// end takes the lease back, so that the watchdog ends.
func (g *Guard) end() error {
	g.telling.Lock()
	defer g.telling.Unlock()
	g.mu.Lock()
	if len(g.pods) > 0 {
		g.mu.Unlock()
		return nil // there is a new one
	}
	g.may = nil
	g.mu.Unlock()
	if err := (&lease{}).write(g.Dir); err != nil {
		return err
	}
	return wakeWatchdog(g.Dir)
}
