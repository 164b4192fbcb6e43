package e2e

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

// TestConsistencyUnderFaults has clients create, compare and swap, delete, read, list and watch on all nodes while nodes are
// killed and frozen and links are cut, lose and delay. What they saw must be what one copy could have shown, and what watches brought
// must be every change once and in order. COVEY_SOAK makes it go on for that time, on five nodes: make soak.
func TestConsistencyUnderFaults(t *testing.T) {
	nodes, length := 3, 30*time.Second
	if text := os.Getenv("COVEY_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		nodes = 5
	} else {
		t.Parallel()
	}
	const roundLength = 30 * time.Second // bounds what the check has to search
	f := &faults{T: t, cluster: harness.StartCluster(t, nodes)}
	watches, stop := context.WithCancel(context.Background())
	defer stop()
	streams := make([]*stream, nodes)
	var watching sync.WaitGroup
	for i, n := range f.cluster.Nodes {
		streams[i] = &stream{node: n, clients: currentOnly(t, n)}
		streams[i].list(watches)
		watching.Go(func() { streams[i].follow(watches) })
	}
	total := tally{}
	for round, end := 0, time.Now().Add(length); !t.Failed() && time.Now().Before(end); round++ {
		h := newHistory(t, f.cluster.Nodes, round)
		h.run(min(roundLength, time.Until(end)), f.one)
		last := h.settle()
		for _, s := range streams {
			s.await(t, last)
		}
		h.check()
		checkStreams(t, streams, h)
		total.add(h)
		t.Logf("| %v to go | %d faults | %d operations | %d acknowledged writes | %d without an answer | %d watches expired |",
			max(0, time.Until(end).Round(time.Second)), f.made, total.operations, total.acknowledged, total.unknown, jumps(streams))
	}
	stop()
	watching.Wait()
}

// tally is what is counted over the rounds.
type tally struct{ operations, acknowledged, unknown int }

func (t *tally) add(h *history) {
	t.operations += len(h.operations)
	t.acknowledged += len(h.acknowledged)
	t.unknown += h.unknown
}

// faults are made one after another.
type faults struct {
	*testing.T
	cluster *harness.Cluster
	made    int
}

// one makes a fault by chance, and mends it.
func (f *faults) one(ctx context.Context) {
	nodes := f.cluster.Nodes
	victim := 1 + rand.IntN(len(nodes))
	if leader := f.leader(ctx, nodes[victim-1]); leader > 0 && rand.IntN(3) > 0 {
		victim = leader
	}
	other := 1 + (victim-1+1+rand.IntN(len(nodes)-1))%len(nodes)
	node := nodes[victim-1]
	switch rand.IntN(9) {
	case 0, 1:
		node.Kill()
		pause(ctx, time.Second)
		node.Start()
	case 2:
		f.cluster.RestartAll()
	case 3:
		node.Freeze(rand.N(5 * time.Second))
	case 4:
		f.cluster.Isolate(victim)
		pause(ctx, 5*time.Second)
	case 5:
		f.cluster.Cut(victim, other)
		pause(ctx, 5*time.Second)
	case 6:
		for i := range nodes {
			f.cluster.CutOneWay(victim, i+1)
		}
		pause(ctx, 5*time.Second)
	case 7:
		f.cluster.Lose(0.2)
		pause(ctx, 4*time.Second)
	case 8:
		f.cluster.Delay(100 * time.Millisecond)
		pause(ctx, 4*time.Second)
	}
	f.cluster.Heal()
	f.made++
	pause(ctx, time.Second)
}

// member is a node as covey status says it.
type member struct {
	Name, Role string
	Alive      bool
}

func members(ctx context.Context, asked *harness.Node) ([]member, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body, err := asked.Clients.CoreV1().RESTClient().Get().AbsPath("/covey/status").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var status struct{ Members []member }
	err = json.Unmarshal(body, &status)
	return status.Members, err
}

// leader is the number of the node that leads as far as another one knows; 0 if it does not say.
func (f *faults) leader(ctx context.Context, asked *harness.Node) int {
	members, _ := members(ctx, asked)
	for i, n := range f.cluster.Nodes {
		if slices.ContainsFunc(members, func(m member) bool { return m.Role == "leader" && m.Name == n.Name() }) {
			return i + 1
		}
	}
	return 0
}

// pause is up to d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(rand.N(d)):
	case <-ctx.Done():
	}
}
