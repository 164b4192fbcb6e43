package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"

	"covey.dev/covey/scheduler"
	"covey.dev/covey/store"
)

const (
	pods        = "pods"
	replicaSets = "replicasets.apps"
	deployments = "deployments.apps"
	events      = "events"
	nodes       = "nodes"
)

// cluster is a real store with a scheduler running on it and an agent for all nodes that starts pods at once.
type cluster struct {
	*store.Store
	t      *testing.T
	ctx    context.Context
	clock  *clocktesting.FakeClock
	behind atomic.Int64 // nanoseconds that the scheduler's clock is behind the time that objects carry
	uids   int
}

// newClusterWithHistory keeps only so many events for watches.
func newClusterWithHistory(t *testing.T, events int) *cluster {
	t.Helper()
	return newCluster(t, func(cfg *store.Config) { cfg.History = events })
}

func newCluster(t *testing.T, change ...func(*store.Config)) *cluster {
	t.Helper()
	cfg := store.Config{Dir: t.TempDir(), NodeID: "n1", Scheme: scheme.Scheme, Logger: quiet()}
	for _, c := range change {
		c(&cfg)
	}
	st, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	storeCtx, stopStore := context.WithCancel(context.Background())
	stored := make(chan error, 1)
	go func() { stored <- st.Run(storeCtx) }()
	t.Cleanup(func() {
		stopStore()
		if err := <-stored; err != nil {
			t.Errorf("store: %v", err)
		}
	})
	select {
	case <-st.Leading():
	case <-time.After(30 * time.Second):
		t.Fatal("the store does not lead")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return &cluster{Store: st, t: t, ctx: ctx, clock: clocktesting.NewFakeClock(time.Now())}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// schedule runs a scheduler until the test ends or the returned func is called.
func (c *cluster) schedule() (stop func()) { return c.scheduleAgainst(func() {}) }

// scheduleAgainst is a scheduler that meets others: each round that has read the state calls meet before it decides, so that
// what meet writes is written before what the round decides, and is received after it.
func (c *cluster) scheduleAgainst(meet func()) (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	now := func() time.Time { meet(); return c.now() }
	s := scheduler.New(scheduler.Config{Store: c.Store, Clock: c.clock, Now: now, Logger: quiet()})
	return c.run("scheduler", cancel, func() error { return s.Run(ctx) })
}

// now is the time that objects carry.
func (c *cluster) now() time.Time { return c.clock.Now().Add(time.Duration(c.behind.Load())) }

// agent starts what is bound and buries what is being deleted, until the test ends or the returned func is called.
func (c *cluster) agent() (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	return c.run("agent", cancel, func() error {
		snap := c.Snapshot()
		w, err := c.Watch(snap.Revision(), pods)
		if err != nil {
			return err
		}
		for pod := range store.List[*corev1.Pod](snap, pods, "") {
			c.tend(ctx, key(pods, pod))
		}
		for {
			events, err := w.Next(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			for _, e := range events {
				if e.Cur != nil {
					c.tend(ctx, e.Cur.Key())
				}
			}
		}
	})
}

func (c *cluster) tend(ctx context.Context, k store.Key) {
	_, _ = c.Update(ctx, func(tx *store.Tx) error { // a conflict is followed by another event
		rec, ok := tx.Get(k)
		if !ok {
			return nil
		}
		pod := rec.Object().(*corev1.Pod).DeepCopy()
		switch {
		case pod.DeletionTimestamp != nil:
			tx.Delete(k, rec.Revision())
		case pod.Spec.NodeName != "" && pod.Status.Phase == corev1.PodPending:
			pod.Status.Phase = corev1.PodRunning
			pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
				Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(c.clock.Now())})
			tx.Put(k, pod, rec.Revision())
		}
		return nil
	})
}

func (c *cluster) run(what string, cancel func(), f func() error) (stop func()) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			if err := <-done; err != nil {
				c.t.Errorf("%s: %v", what, err)
			}
		}
		stopped = true
	}
	c.t.Cleanup(stop)
	return stop
}

func key(res string, obj metav1.Object) store.Key {
	return store.Key{Resource: res, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// create writes objects as the API does.
func (c *cluster) create(res string, obj store.Object) {
	c.t.Helper()
	c.uids++
	obj.SetUID(types.UID(fmt.Sprint("user-", c.uids)))
	obj.SetCreationTimestamp(metav1.NewTime(c.clock.Now()))
	obj.SetGeneration(1)
	if _, err := c.Update(c.ctx, func(tx *store.Tx) error { tx.Create(key(res, obj), obj); return nil }); err != nil {
		c.t.Fatal(err)
	}
}

// edit changes an object, or deletes it when change says so.
func edit[T store.Object](c *cluster, k store.Key, change func(T) (keep bool)) {
	c.t.Helper()
	for {
		_, err := c.Update(c.ctx, func(tx *store.Tx) error {
			rec, ok := tx.Get(k)
			if !ok {
				return fmt.Errorf("no %v", k)
			}
			obj := rec.Object().DeepCopyObject().(T)
			if !change(obj) {
				tx.Delete(k, rec.Revision())
			} else {
				obj.SetGeneration(obj.GetGeneration() + 1)
				tx.Put(k, obj, rec.Revision())
			}
			return nil
		})
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			c.t.Fatal(err)
		}
		return
	}
}

// until waits for a state in which ok is true.
func (c *cluster) until(what string, ok func(*store.Snapshot) bool) *store.Snapshot {
	c.t.Helper()
	for {
		snap := c.Snapshot()
		if ok(snap) {
			return snap
		}
		w, err := c.Watch(snap.Revision())
		if err != nil {
			continue // the history has moved on
		}
		if _, err := w.Next(c.ctx); c.ctx.Err() != nil {
			c.t.Fatalf("waited for %s: %v\n%s", what, err, dump(c.Snapshot()))
		}
	}
}

func dump(snap *store.Snapshot) string {
	out := ""
	for d := range store.List[*appsv1.Deployment](snap, deployments, "") {
		out += fmt.Sprintf("deployment %s %+v\n", d.Name, d.Status)
	}
	for rs := range store.List[*appsv1.ReplicaSet](snap, replicaSets, "") {
		out += fmt.Sprintf("replica set %s %d %+v\n", rs.Name, *rs.Spec.Replicas, rs.Status)
	}
	for p := range store.List[*corev1.Pod](snap, pods, "") {
		out += fmt.Sprintf("pod %s on %q %s deleted %v %+v\n", p.Name, p.Spec.NodeName, p.Status.Phase, p.DeletionTimestamp, p.Status.Conditions)
	}
	return out
}

func (c *cluster) addNode(name, cpu string) {
	c.create(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("2000"),
		},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}})
}

func deployment(namespace, name string, replicas int32, cpu string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			ProgressDeadlineSeconds: new(int32(600)), RevisionHistoryLimit: new(int32(10)),
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "v1", Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}}},
			},
		},
	}
}

// rolledOut is what kubectl rollout status waits for.
func (c *cluster) rolledOut(namespace, name string) *store.Snapshot {
	c.t.Helper()
	return c.until(name+" to be rolled out", func(snap *store.Snapshot) bool {
		d, ok := store.Get[*appsv1.Deployment](snap, store.Key{Resource: deployments, Namespace: namespace, Name: name})
		n := *d.Spec.Replicas
		return ok && d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == n && d.Status.Replicas == n && d.Status.AvailableReplicas == n
	})
}

func list[T store.Object](snap *store.Snapshot, res, namespace string) []T {
	var out []T
	for obj := range store.List[T](snap, res, namespace) {
		out = append(out, obj)
	}
	return out
}

func reasons(snap *store.Snapshot) map[string]int {
	out := map[string]int{}
	for e := range store.List[*corev1.Event](snap, events, "") {
		out[e.Reason] += int(e.Count)
	}
	return out
}
