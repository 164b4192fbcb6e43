package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	corev1 "k8s.io/api/core/v1"
)

// TestLinearizableUnderFaults has clients create, compare and swap, delete and read on all servers while links fail and servers stop.
// What they saw must be what one copy could have shown, and what watchers saw must be every change once, in order. The time is
// COVEY_SIMULATE, or a few seconds.
func TestLinearizableUnderFaults(t *testing.T) {
	length := 4 * time.Second
	if text := os.Getenv("COVEY_SIMULATE"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(length); ; {
		newSimulation(t, 3+2*rand.IntN(2)).run(min(30*time.Second, time.Until(end)))
		if t.Failed() || time.Until(end) < time.Second {
			return
		}
	}
}

// simulation is one cluster, its clients and what they saw.
type simulation struct {
	*testing.T
	*cluster
	ids     []string
	started time.Time
	values  atomic.Int64

	mu           sync.Mutex
	stops        map[string]func()
	history      []porcupine.Operation
	acknowledged map[uint64]string // value by revision; "" is deleted
	faults       int
}

func newSimulation(t *testing.T, servers int) *simulation {
	c, _, stops := newCluster(t, servers, func(cfg *Config) {
		cfg.tuning.heartbeatTimeout = 100 * time.Millisecond // faults are not much longer
	})
	s := &simulation{T: t, cluster: c, started: time.Now(), stops: map[string]func(){}, acknowledged: map[uint64]string{}}
	for i := range servers {
		s.ids = append(s.ids, fmt.Sprintf("n%d", i))
		s.stops[s.ids[i]] = stops[i]
	}
	return s
}

func (s *simulation) run(length time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var clients, watchers sync.WaitGroup
	streams := make([]*stream, len(s.ids))
	watch, stop := context.WithCancel(context.Background())
	defer stop()
	for i, id := range s.ids {
		streams[i] = &stream{id: id}
		watchers.Go(func() { streams[i].follow(watch, s.cluster) })
	}
	for i := range 6 {
		clients.Go(func() { s.client(ctx, i) })
	}
	for ctx.Err() == nil {
		s.fault(ctx)
	}
	clients.Wait()
	s.wires.fail(0, 0)
	last := set(s, s.get(s.ids[0]), "default", "last", "written")
	for _, st := range streams {
		for until := time.Now().Add(30 * time.Second); st.revision() < last && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		}
	}
	stop()
	watchers.Wait()
	s.checkStreams(streams)
	s.checkHistory()
	for _, id := range s.ids {
		s.stops[id]()
	}
	s.Logf("%d servers, %d faults, %d operations, %d acknowledged writes", len(s.ids), s.faults, len(s.history), len(s.acknowledged))
}

// fault breaks something, waits and mends it.
func (s *simulation) fault(ctx context.Context) {
	victim := s.ids[rand.IntN(len(s.ids))]
	if leader := s.get(victim).LeaderID(); leader != "" && rand.IntN(2) == 0 {
		victim = leader
	}
	var in, out [][2]string
	for _, id := range s.ids {
		in, out = append(in, [2]string{id, victim}), append(out, [2]string{victim, id})
	}
	again := []string{}
	switch rand.IntN(7) {
	case 0:
		s.wires.fail(0, 0, append(in, out...)...)
	case 1:
		s.wires.fail(0, 0, in...)
	case 2:
		s.wires.fail(0, 0, out...)
	case 3:
		s.wires.fail(0.3, 0)
	case 4:
		s.wires.fail(0.05, 60*time.Millisecond)
	case 5:
		again = []string{victim}
	case 6:
		again = s.ids
	}
	for _, id := range again {
		s.stops[id]()
	}
	sleep(ctx, rand.N(500*time.Millisecond))
	for _, id := range again {
		_, s.stops[id] = s.join(s, id)
	}
	if leader := s.get(s.get(s.ids[0]).LeaderID()); leader != nil && rand.IntN(2) == 0 {
		_ = leader.node.Compact() // who is cut off is sent a snapshot
	}
	s.wires.fail(0, 0)
	sleep(ctx, rand.N(300*time.Millisecond))
	s.faults++
}

// operation is what a client asks for: old and new are values of a key, "" stands for none. A read has neither.
type operation struct {
	key      string
	write    bool
	old, new string
}

// outcome is what it is told: that it was done, or else the value it saw, or that nobody knows.
type outcome struct {
	done, unknown bool
	saw           string
}

var errOther = errors.New("another value")

func (s *simulation) client(ctx context.Context, number int) {
	known := map[string]string{}
	for ctx.Err() == nil {
		server := s.get(s.ids[rand.IntN(len(s.ids))])
		if server == nil {
			sleep(ctx, 10*time.Millisecond)
			continue
		}
		op := operation{key: fmt.Sprint("k", rand.IntN(3)), write: rand.IntN(3) > 0}
		if op.write {
			if op.old = known[op.key]; op.old == "" || rand.IntN(3) > 0 {
				op.new = fmt.Sprint(s.values.Add(1))
			}
		}
		called := time.Since(s.started)
		out, revision, err := attempt(server, op)
		returned := time.Since(s.started)
		switch {
		case errors.Is(err, ErrUnknown):
			out = outcome{unknown: true}
			returned = time.Hour
		case err != nil:
			continue // it did not happen, and the check finds out if it did
		}
		if known[op.key] = out.saw; out.done {
			known[op.key] = op.new
		}
		s.mu.Lock()
		s.history = append(s.history, porcupine.Operation{
			ClientId: number, Input: op, Output: out, Call: called.Nanoseconds(), Return: returned.Nanoseconds(),
		})
		if out.done && op.write {
			s.acknowledged[revision] = op.new
		}
		s.mu.Unlock()
	}
}

func attempt(server *Store, op operation) (out outcome, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond+rand.N(2*time.Second))
	defer cancel()
	if !op.write {
		snap, err := server.Linearizable(ctx)
		if err != nil {
			return outcome{}, 0, err
		}
		return outcome{saw: held(snap, op.key)}, 0, nil
	}
	revision, err = server.Update(ctx, func(tx *Tx) error {
		k := mapKey("default", op.key)
		rec, _ := tx.Get(k)
		switch out.saw = held(tx.Snapshot(), op.key); {
		case out.saw != op.old:
			return errOther
		case op.new == "":
			tx.Delete(k, rec.Revision())
		case op.old == "":
			tx.Create(k, configMap("default", op.key, op.new))
		default:
			tx.Put(k, configMap("default", op.key, op.new), rec.Revision())
		}
		return nil
	})
	if errors.Is(err, errOther) {
		return out, 0, nil
	}
	return outcome{done: true}, revision, err
}

func held(snap *Snapshot, key string) string {
	if cm, ok := Get[*corev1.ConfigMap](snap, mapKey("default", key)); ok {
		return cm.Data["v"]
	}
	return ""
}

func (s *simulation) checkHistory() {
	model := porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			for _, op := range history {
				key := op.Input.(operation).key
				byKey[key] = append(byKey[key], op)
			}
			return slices.Collect(maps.Values(byKey))
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			return step(state.(string), input.(operation), output.(outcome))
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
	result, info := porcupine.CheckOperationsVerbose(model, s.history, 5*time.Minute)
	if result == porcupine.Ok {
		return
	}
	s.Errorf("the history of %d operations: %s", len(s.history), result)
	if f, err := os.CreateTemp("", "history-*.html"); err == nil {
		s.Logf("see %s (%v)", f.Name(), errors.Join(porcupine.Visualize(model, info, f), f.Close()))
	}
}

// step says whether a register may answer so, and what it holds then.
func step(state string, op operation, out outcome) (bool, string) {
	switch {
	case out.done:
		return state == op.old, op.new
	case !out.unknown:
		return state == out.saw && (!op.write || out.saw != op.old), state
	case state == op.old:
		return true, op.new // a write that did not happen may stand behind all others
	}
	return true, state
}

// stream is what a watcher saw on one server, which it comes back to after each end of it.
type stream struct {
	id     string
	events []seen
	jumps  [][2]uint64 // from one revision to another, without the events between
	at     atomic.Uint64
}

// seen is an event: a key's value after it, "" when it was deleted.
type seen struct {
	revision   uint64
	key, value string
}

func (st *stream) revision() uint64 { return st.at.Load() }

func (st *stream) follow(ctx context.Context, c *cluster) {
	for ; ctx.Err() == nil; sleep(ctx, 5*time.Millisecond) {
		s := c.get(st.id)
		if s == nil {
			continue
		}
		w, err := s.Watch(st.revision())
		for err == nil {
			// A watcher of a server that was stopped would wait for ever.
			turn, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			var events []Event
			events, err = w.Next(turn)
			cancel()
			for _, e := range events {
				st.add(e)
			}
		}
		if errors.Is(err, ErrExpired) {
			snap := s.Snapshot()
			st.jumps = append(st.jumps, [2]uint64{st.revision(), snap.Revision()})
			st.at.Store(snap.Revision())
		}
	}
}

func (st *stream) add(e Event) {
	event := seen{revision: e.Revision, key: e.Key().Name}
	if e.Cur != nil {
		event.value = e.Cur.Object().(*corev1.ConfigMap).Data["v"]
	}
	st.events = append(st.events, event)
	st.at.Store(e.Revision)
}

// checkStreams compares the streams with each other and with what was acknowledged.
func (s *simulation) checkStreams(streams []*stream) {
	all := map[uint64]seen{}
	for _, st := range streams {
		for i, e := range st.events {
			if i > 0 && st.events[i-1].revision >= e.revision {
				s.Errorf("%s: %+v comes after %+v", st.id, e, st.events[i-1])
			}
			if other, ok := all[e.revision]; ok && other != e {
				s.Errorf("%s saw %+v, another server %+v", st.id, e, other)
			}
			all[e.revision] = e
		}
	}
	for revision, value := range s.acknowledged {
		if e, ok := all[revision]; !ok || e.value != value {
			s.Errorf("%q was acknowledged at revision %d, watchers saw %+v", value, revision, e)
		}
	}
	ordered := slices.SortedFunc(maps.Values(all), func(a, b seen) int { return cmp.Compare(a.revision, b.revision) })
	for _, st := range streams {
		st.checkGaps(s, ordered)
	}
}

func (st *stream) checkGaps(t *simulation, all []seen) {
	have := map[uint64]bool{}
	for _, e := range st.events {
		have[e.revision] = true
	}
	for _, e := range all {
		jumped := slices.ContainsFunc(st.jumps, func(j [2]uint64) bool { return j[0] < e.revision && e.revision <= j[1] })
		if !have[e.revision] && !jumped {
			t.Errorf("%s did not see %+v", st.id, e)
		}
	}
}
