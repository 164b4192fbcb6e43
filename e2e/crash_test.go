package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/e2e/harness"
)

// TestAcknowledgedWritesSurviveCrashes kills covey again and again while objects are made, changed and deleted, and while
// pods come, go, are rolled out and restarted. On each start what was acknowledged is there, and no container was
// restarted or runs twice. Now and then the load pauses, and nothing is left over.
func TestAcknowledgedWritesSurviveCrashes(t *testing.T) {
	t.Parallel()
	crashes := 20
	if text := os.Getenv("COVEY_CRASHES"); text != "" { // make crash
		var err error
		if crashes, err = strconv.Atoi(text); err != nil {
			t.Fatalf("COVEY_CRASHES: %v", err)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := &crashing{Node: harness.Start(t), t: t, random: rand.New(rand.NewPCG(seed, seed)), ledger: newLedger(seed), killed: map[string]bool{}}
	c.Apply(shell("web", sleeps))
	c.Kubectl("scale", "deployment/web", "--replicas=3")
	c.Kubectl("rollout", "status", "deployment/web")

	ctx, cancel := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx.Err() == nil {
			if !c.ledger.write(ctx, c.Node) {
				time.Sleep(5 * time.Millisecond) // nobody is there just now
			}
		}
	})
	defer writing.Wait()
	defer cancel()
	for i := range crashes {
		c.disturb()
		time.Sleep(time.Duration(c.random.IntN(150)) * time.Millisecond) // when is the question that the test asks
		before := c.Running()
		c.Kill()
		c.Start()
		c.checkRunning(before)
		c.ledger.check(t, c.Node)
		if i%7 == 6 || i == crashes-1 {
			c.settle()
		}
		if t.Failed() {
			t.Fatalf("after %d crashes", i+1)
		}
	}
	t.Logf("%d writes were acknowledged, %d cut off", c.ledger.acknowledged, c.ledger.cut)
	if c.ledger.acknowledged < crashes {
		t.Errorf("only %d writes were acknowledged", c.ledger.acknowledged)
	}
}

// crashing is a node that is killed again and again.
type crashing struct {
	*harness.Node
	t       *testing.T
	random  *rand.Rand
	ledger  *ledger
	killed  map[string]bool // containers whose processes the test killed
	rollout int
}

// disturb begins something with pods that is not over when covey is killed.
func (c *crashing) disturb() {
	c.t.Helper()
	pods, err := c.Pods("app=web")
	if err != nil {
		c.t.Fatal(err)
	}
	switch c.random.IntN(5) {
	case 0:
		c.Kubectl("scale", "deployment/web", fmt.Sprintf("--replicas=%d", 3+c.random.IntN(3)))
	case 1:
		c.rollout++
		c.Kubectl("patch", "deployment/web", "-p", fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"rollout":"%d"}}}}}`, c.rollout))
	case 2:
		if len(pods) > 0 {
			c.Kubectl("delete", "pod", pods[c.random.IntN(len(pods))].Name, "--wait=false", "--ignore-not-found")
		}
	case 3: // the container's end, not the pod's
		for uid, containers := range c.Running() {
			for id, pids := range containers {
				if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return string(p.UID) == uid && harness.Restarts(0)(&p) == nil }) {
					continue // the next one would wait for its back-off
				}
				c.killed[id] = true
				_ = syscall.Kill(slices.Min(pids), syscall.SIGKILL) // it may have ended by itself
				return
			}
		}
	}
}

// checkRunning compares what runs on a start with what ran before covey was killed: the containers of pods that are to go on are the
// same, and none runs twice.
func (c *crashing) checkRunning(before map[string]map[string][]int) {
	c.t.Helper()
	now := c.Running()
	pods, err := c.Pods("")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range pods {
		uid := string(p.UID)
		if len(now[uid]) > 1 {
			c.t.Errorf("%s runs more than once: %v", p.Name, now[uid])
		}
		for id, pids := range before[uid] {
			goesOn := p.DeletionTimestamp == nil && !c.killed[id]
			if goesOn && (len(now[uid][id]) == 0 || slices.Min(now[uid][id]) != slices.Min(pids)) {
				c.t.Errorf("%s had the container %s with the processes %v, it now has %v", p.Name, id, pids, now[uid])
			}
		}
	}
}

// settle waits until all pods are as they are to be, and nothing is on the machine but what they have there.
func (c *crashing) settle() {
	c.t.Helper()
	c.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	c.Eventually(func() error {
		pods, err := c.Pods("")
		if err != nil {
			return err
		}
		running := c.Running()
		var uids []string
		for _, p := range pods {
			uids = append(uids, string(p.UID))
			if p.DeletionTimestamp != nil {
				return fmt.Errorf("%s is still being deleted", p.Name)
			}
			if err := harness.Ready(&p); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			for id, pids := range running[string(p.UID)] {
				if want := strings.TrimPrefix(p.Status.ContainerStatuses[0].ContainerID, "containerd://"); id != want || len(pids) != 2 { // the shell and its sleep
					return fmt.Errorf("%s has container %s with processes %v, its status says %s", p.Name, id, pids, want)
				}
			}
		}
		if len(running) != len(pods) {
			return fmt.Errorf("%d pods run, want %d", len(running), len(pods))
		}
		return c.OnlyOf(uids)
	})
}

// ledger keeps what was written, and so what has to be there.
type ledger struct {
	mu                sync.Mutex
	random            *rand.Rand
	values            map[string]string   // acknowledged, by name; "" when it is not to be there
	doubtful          map[string][]string // values of writes that were not answered
	acknowledged, cut int
	next              int
}

func newLedger(seed uint64) *ledger {
	return &ledger{random: rand.New(rand.NewPCG(seed, 1)), values: map[string]string{}, doubtful: map[string][]string{}}
}

// write creates, updates or deletes one of a few config maps, and says whether that was acknowledged.
func (l *ledger) write(ctx context.Context, n *harness.Node) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	client := n.Clients.CoreV1().ConfigMaps("default")
	name := fmt.Sprintf("c-%d", l.random.IntN(50))
	l.next++
	value := strconv.Itoa(l.next)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": value}}
	var err error
	switch {
	case l.values[name] == "":
		_, err = client.Create(ctx, cm, metav1.CreateOptions{})
	case l.random.IntN(4) == 0:
		value = ""
		err = client.Delete(ctx, name, metav1.DeleteOptions{})
	default:
		_, err = client.Update(ctx, cm, metav1.UpdateOptions{})
	}
	if err != nil {
		l.cut++
		l.doubtful[name] = append(l.doubtful[name], value)
		return false
	}
	l.acknowledged++
	l.values[name], l.doubtful[name] = value, nil
	return true
}

// check compares what is there with what was acknowledged.
func (l *ledger) check(t *testing.T, n *harness.Node) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	list, err := n.Clients.CoreV1().ConfigMaps("default").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, cm := range list.Items {
		have[cm.Name] = cm.Data["value"]
	}
	for name, want := range l.values {
		if got := have[name]; got != want && !slices.Contains(l.doubtful[name], got) {
			t.Errorf("%s is %q, acknowledged was %q, and %q are not known", name, got, want, l.doubtful[name])
		}
		l.values[name], l.doubtful[name] = have[name], nil
	}
	for name, doubtful := range l.doubtful {
		if _, known := l.values[name]; !known && have[name] != "" && slices.Contains(doubtful, have[name]) {
			l.values[name], l.doubtful[name] = have[name], nil
		}
	}
}
