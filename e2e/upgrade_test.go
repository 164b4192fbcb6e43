package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/e2e/harness"
)

// TestRollingUpgrade brings three servers and a worker from an older covey, which speaks the first protocol version only, to this one, one
// after the other and with leaders of either kind, while clients write. Then it tries the older one again.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	older := harness.Bin("covey-older")
	if _, err := os.Stat(older); err != nil {
		t.Fatalf("%v: run the tests with make e2e", err)
	}
	c := harness.NewCluster(t)
	c.Program = older
	c.StartNodes(3)
	c.AddWorkers(1)
	first := c.Nodes[0]
	first.Apply(strings.NewReplacer( // pods that stay where they are while their node is upgraded, however long that takes
		"  selector:", "  replicas: 4\n  selector:", "      containers:", "      tolerations: [{operator: Exists}]\n      containers:",
	).Replace(shell("web", sleeps)))
	first.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	before := containers(first)
	protocolIs(t, first, 1)

	w := writeSteadily(t, c.Nodes[:3])
	leader := c.Nodes[leaderOf(first)-1]
	var order []*harness.Node
	for _, n := range c.Nodes[:3] {
		if n != leader {
			order = append(order, n)
		}
	}
	order = append(order, leader, c.Nodes[3])
	for i, n := range order {
		n.Stop()
		n.Program = harness.Bin("covey")
		n.Start()
		w.awaitMore()
		if i == 0 {
			has(t, "covey promote", n.Covey("promote"), "leads") // the others are older still, and follow
			w.awaitMore()
		}
		if left := names(order[i+1:]); len(left) > 0 {
			protocolIs(t, first, 1, left...)
		}
	}
	protocolIs(t, first, 2)
	w.awaitMore()
	first.Kubectl("scale", "deployment/web", "--replicas=8") // several objects in one entry
	first.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	w.stop()
	t.Logf("%d writes were acknowledged meanwhile", w.acked.Load())
	for _, n := range c.Nodes {
		w.check(n)
	}
	after := containers(first)
	for name, was := range before {
		if after[name] != was {
			t.Errorf("pod %s runs %s, and ran %s before the upgrade", name, after[name], was)
		}
	}
	theOlderIsRefused(t, c, older)
	for _, n := range c.Nodes[:3] {
		w.check(n)
	}
}

// theOlderIsRefused at join, for good, and on the data directories of a server and of a worker, which stay as they are.
func theOlderIsRefused(t *testing.T, c *harness.Cluster, older string) {
	t.Helper()
	const says = "this covey is too old for its cluster: it speaks protocol version 1, and the cluster has agreed on 2. Run a newer covey on this node"
	first := c.Nodes[0]
	token := strings.TrimSpace(first.Covey("token", "create", "--uses", "1"))
	joins := func(program string) harness.Result {
		return first.Pipe("", program, "start", "--data-dir", first.Dir+"/other", "--state-dir", first.Dir+"/o", "--listen", "127.0.0.1:0",
			"--node-name", "other", "--join", c.Address(1), "--token", token)
	}
	if r := joins(older); r.Code != 1 || !strings.Contains(r.Stderr, says) {
		t.Errorf("an older covey joins: %d %s", r.Code, r.Output())
	}
	for _, n := range []*harness.Node{c.Nodes[1], c.Nodes[3]} {
		n.Stop()
		args := []string{"start", "--data-dir", n.DataDir, "--state-dir", n.StateDir, "--listen", "127.0.0.1:0", "--node-name", n.Name()}
		if n == c.Nodes[3] {
			args = append(args, "--worker")
		}
		r := n.Pipe("", older, args...)
		if r.Code != 1 || !strings.Contains(r.Stderr, says) || !strings.Contains(r.Stderr, "Nothing in "+n.DataDir+" was changed") {
			t.Errorf("an older covey starts on %s: %d %s", n.Name(), r.Code, r.Output())
		}
		n.Start()
	}
}

func names(nodes []*harness.Node) (names []string) {
	for _, n := range nodes {
		names = append(names, n.Name())
	}
	slices.Sort(names)
	return names
}

// protocolIs waits until covey status shows what was agreed on, and who holds it back.
func protocolIs(t *testing.T, n *harness.Node, agreed int, heldBackBy ...string) {
	t.Helper()
	n.Eventually(func() error {
		var status struct {
			Protocol struct {
				Agreed     int
				HeldBackBy []string
			}
		}
		if err := json.Unmarshal([]byte(n.Covey("status", "-o", "json")), &status); err != nil {
			return err
		}
		if p := status.Protocol; p.Agreed != agreed || !slices.Equal(p.HeldBackBy, heldBackBy) {
			return fmt.Errorf("agreed on %d, held back by %v; want %d, %v", p.Agreed, p.HeldBackBy, agreed, heldBackBy)
		}
		return nil
	})
	for _, name := range heldBackBy {
		clusterSays(t, n, "An upgrade to 2 is not finished: it waits for a newer covey on ", name+" \\(v[^)]*\\)")
	}
}

// containers are the IDs of those that run, and since when, by pod.
func containers(n *harness.Node) map[string]string {
	found := map[string]string{}
	n.Eventually(func() error {
		pods, err := n.Pods("app=web")
		clear(found)
		for _, p := range pods {
			if err == nil {
				err = harness.Ready(&p)
			}
			if len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Running != nil {
				s := p.Status.ContainerStatuses[0]
				found[p.Name] = fmt.Sprintf("%s since %s on %s, restarted %d times", s.ContainerID, s.State.Running.StartedAt.UTC().Format(time.TimeOnly), p.Spec.NodeName, s.RestartCount)
			}
		}
		return err
	})
	return found
}

// writes are objects that are made one after the other, through one server after the other.
type writes struct {
	t       *testing.T
	nodes   []*harness.Node
	acked   atomic.Int64 // 0 to acked-1
	cancel  context.CancelFunc
	writing sync.WaitGroup
}

func writeSteadily(t *testing.T, nodes []*harness.Node) *writes {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writes{t: t, nodes: nodes, cancel: cancel}
	w.writing.Go(func() {
		for try := 0; ctx.Err() == nil; try++ {
			if err := w.create(ctx, nodes[try%len(nodes)]); err == nil {
				w.acked.Add(1)
			} else if ctx.Err() == nil {
				time.Sleep(20 * time.Millisecond) // the server is being upgraded: another one is asked
			}
		}
	})
	t.Cleanup(w.stop)
	return w
}

func steady(i int64) string { return fmt.Sprintf("steady-%d", i) }

// create makes the next object. One that is there already was made by a try whose answer was lost.
func (w *writes) create(ctx context.Context, n *harness.Node) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: steady(w.acked.Load()), Labels: map[string]string{"steady": "yes"}}}
	_, err := n.Clients.CoreV1().ConfigMaps("default").Create(ctx, object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// awaitMore waits for some writes through each server.
func (w *writes) awaitMore() {
	w.t.Helper()
	want := w.acked.Load() + 10*int64(len(w.nodes))
	w.nodes[0].Eventually(func() error {
		if got := w.acked.Load(); got < want {
			return fmt.Errorf("%d writes, want %d", got, want)
		}
		return nil
	})
}

func (w *writes) stop() {
	w.cancel()
	w.writing.Wait()
}

// check looks for all that was acknowledged.
func (w *writes) check(n *harness.Node) {
	w.t.Helper()
	list, err := n.Clients.CoreV1().ConfigMaps("default").List(context.Background(), metav1.ListOptions{LabelSelector: "steady=yes"})
	if err != nil {
		w.t.Fatal(err)
	}
	there := map[string]bool{}
	for _, m := range list.Items {
		there[m.Name] = true
	}
	for i := range w.acked.Load() {
		if !there[steady(i)] {
			w.t.Errorf("%s was acknowledged and is not on %s", steady(i), n.Name())
		}
	}
}
