package scheduler

import (
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/scheduler/placement"
	"covey.dev/covey/store"
)

const (
	// maxEffects is when a round stops deciding and commits; what is left goes into the next. It is less for a while when that was
	// more than a commit takes, because the objects are large.
	maxEffects = 500
	// maxWork is the same for objects that were looked at, whatever came of it: covey is to end, and to hear of changes,
	// in good time.
	maxWork = 1000
	// maxRuns is how often one object is looked at in a round. More would mean that two decisions contradict each
	// other; the commit then goes ahead and the next round goes on from there.
	maxRuns = 20
)

// round is the decisions that go into one commit.
type round struct {
	*Scheduler
	env   controller.Env // whose time is that of objects
	began time.Time      // by this machine's clock
	view  *view
	taken []work // to be queued again if the commit fails
	runs  map[work]int
	seen  Round

	victims []placement.Bound // that were preempted

	journal []entry // what the index knew before
}

func newRound(s *Scheduler, snap *store.Snapshot) *round {
	r := &round{
		Scheduler: s, view: newView(snap), runs: map[work]int{}, began: s.clock.Now(),
		env: controller.Env{
			Now: s.now(), Most: s.room,
			NewUID: func() types.UID { return types.UID(uuid.NewString()) },
			Suffix: func() string { return rand.String(5) },
		},
	}
	if s.admit != nil {
		r.env.Admit = func(pod *corev1.Pod) error { return s.admit(snap, pod) }
	}
	s.index.journal = &r.journal
	return r
}

// undo puts the index and the queue back as they were before the round.
func (r *round) undo() {
	r.index.journal = nil
	for i := len(r.journal) - 1; i >= 0; i-- {
		r.index.put(r.journal[i].key, r.journal[i].was)
	}
	r.journal = nil
	for _, w := range r.taken {
		r.queue.add(w.kind, w.key)
	}
}

// decide works through the queue, controllers first, then the placement of the pods that are there then.
func (r *round) decide() {
	for !r.isFull() && len(r.taken) < maxWork {
		w, ok := r.queue.next(placements)
		if !ok {
			break
		}
		r.taken = append(r.taken, w)
		if r.runs[w]++; r.runs[w] > maxRuns {
			r.log.Error("decisions do not come to rest", "object", w.key)
			r.queue.add(w.kind, w.key)
			break
		}
		delete(r.due, w)
		r.reconcile(w)
	}
	r.place()
	if w, ok := r.queue.take(expireEvents); ok {
		r.taken = append(r.taken, w)
		r.expire()
	}
	r.index.journal = nil
}

// isFull says that the round has decided as much as is to be committed at once.
func (r *round) isFull() bool { return len(r.view.changes) >= r.room }

func (r *round) reconcile(w work) {
	switch w.kind {
	case namespaces:
		r.namespace(w)
	case garbage:
		r.garbage(w)
	case lostPods:
		r.lostPod(w)
	case unready:
		r.unready(w)
	case evictions:
		r.evict(w)
	case endedPods:
		r.ended(w)
	case replicaSets:
		r.replicaSet(w)
	case deployments:
		r.deployment(w)
	case budgets:
		r.budget(w)
	}
}

// take lays a decision over the view, and marks what follows from it.
func (r *round) take(w work, res controller.Result) {
	for _, c := range res.Changes {
		r.change(c.Verb, store.Key(c.Ref), c.Object)
	}
	for _, e := range res.Events {
		r.record(e)
	}
	if !res.Due.IsZero() {
		r.due[w] = r.local(res.Due)
	}
}

// local is a time of objects by this machine's clock.
func (r *round) local(t time.Time) time.Time { return r.began.Add(t.Sub(r.env.Now)) }

// since is a moment of this machine's clock as a time of objects, so that it has lasted as long; zero stays that.
func (r *round) since(moment time.Time) time.Time {
	if moment.IsZero() {
		return moment
	}
	return r.env.Now.Add(moment.Sub(r.began))
}

func (r *round) change(verb controller.Verb, key store.Key, obj store.Object) {
	if !r.view.apply(verb, key, obj) {
		r.log.Warn("a decision does not fit the state", "object", key, "verb", int(verb))
		return
	}
	if verb == controller.Delete {
		obj = nil
	}
	r.observe(key, obj)
}
