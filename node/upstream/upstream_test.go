package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

type fixture struct {
	*Upstream
	store *store.Store
	ctx   context.Context
}

func setup(t *testing.T) fixture {
	t.Helper()
	st, err := store.Open(store.Config{Dir: t.TempDir(), NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	storeCtx, closeStore := context.WithCancel(context.Background())
	closed := make(chan error, 1)
	go func() { closed <- st.Run(storeCtx) }()
	t.Cleanup(func() {
		closeStore()
		if err := <-closed; err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	f := fixture{New(st, NewWriter(st, "n1", time.Now, uuid.NewUUID), time.Minute, time.Now, slog.New(slog.DiscardHandler)), st, ctx}
	f.create(t, store.Key{Resource: "namespaces", Name: "default"}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	return f
}

func (f fixture) create(t *testing.T, key store.Key, obj store.Object) {
	t.Helper()
	if _, err := f.store.Update(f.ctx, func(tx *store.Tx) error { tx.Create(key, obj); return nil }); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) pod(t *testing.T, name, node string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: uuid.NewUUID()}, Spec: corev1.PodSpec{NodeName: node}}
	f.create(t, podKey("default", name), pod)
	return pod
}

func ref(pod *corev1.Pod) agent.PodRef {
	return agent.PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}
}

// follow collects the names of each update.
func (f fixture) follow(t *testing.T, node string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	updates, done := make(chan string), make(chan error, 1)
	go func() {
		done <- f.Follow(ctx, node, func(pods []*corev1.Pod, _ bool) {
			names := make([]string, 0, len(pods))
			for _, pod := range pods {
				names = append(names, pod.Name)
			}
			select {
			case updates <- strings.Join(names, " "):
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Follow returned %v", err)
		}
	})
	return updates
}

func TestFollowShowsOnlyTheNodesPods(t *testing.T) {
	f := setup(t)
	f.pod(t, "a", "n1")
	updates := f.follow(t, "n1")
	if got := <-updates; got != "a" {
		t.Fatalf("first update %q, want a", got)
	}
	f.pod(t, "elsewhere", "n2")
	unbound := f.pod(t, "b", "")
	rec, _ := f.store.Snapshot().Get(podKey("default", "b"))
	bound := unbound.DeepCopy()
	bound.Spec.NodeName = "n1"
	if _, err := f.store.Update(f.ctx, func(tx *store.Tx) error { tx.Put(rec.Key(), bound, rec.Revision()); return nil }); err != nil {
		t.Fatal(err)
	}
	if got := <-updates; got != "a b" && got != "b a" {
		t.Fatalf("update after binding %q, want a and b", got)
	}
	if err := f.Remove(f.ctx, ref(unbound)); err != nil {
		t.Fatal(err)
	}
	if got := <-updates; got != "a" {
		t.Fatalf("update after removal %q, want a", got)
	}
}

func TestWriteStatusPassesOverAnotherLifeAndWritesOnlyChanges(t *testing.T) {
	f := setup(t)
	pod := f.pod(t, "a", "n1")
	write := func(uid string, phase corev1.PodPhase) uint64 {
		t.Helper()
		r := ref(pod)
		r.UID = uid
		up := agent.PodStatus{Pod: r, Status: corev1.PodStatus{Phase: phase}}
		if _, err := f.WriteStatus(f.ctx, []agent.PodStatus{up}); err != nil {
			t.Fatal(err)
		}
		return f.store.Snapshot().Revision()
	}
	phase := func() corev1.PodPhase {
		got, _ := store.Get[*corev1.Pod](f.store.Snapshot(), podKey("default", "a"))
		return got.Status.Phase
	}
	rev := write(string(pod.UID), corev1.PodRunning)
	if phase() != corev1.PodRunning {
		t.Errorf("phase %q, want Running", phase())
	}
	if again := write(string(pod.UID), corev1.PodRunning); again != rev {
		t.Error("an unchanged status was written")
	}
	if write("another-life", corev1.PodFailed); phase() != corev1.PodRunning {
		t.Error("the status of an earlier life was written")
	}
}

// TestAStatusTakesNothingBack has a gate opened, and the pod evicted, before the agent's status of an earlier state gets through.
func TestAStatusTakesNothingBack(t *testing.T) {
	f := setup(t)
	pod := f.pod(t, "a", "n1")
	update := agent.PodStatus{Pod: ref(pod), Status: corev1.PodStatus{
		Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}},
	}}
	others := []corev1.PodCondition{{Type: "example.com/gate", Status: corev1.ConditionTrue}, {Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
	rec, _ := f.store.Snapshot().Get(podKey("default", "a"))
	pod = pod.DeepCopy()
	pod.Status.Conditions, pod.Status.QOSClass = others, corev1.PodQOSBurstable
	if _, err := f.store.Update(f.ctx, func(tx *store.Tx) error { tx.Put(rec.Key(), pod, rec.Revision()); return nil }); err != nil {
		t.Fatal(err)
	}
	var written uint64
	for range 2 {
		revision, err := f.WriteStatus(f.ctx, []agent.PodStatus{update})
		if err != nil {
			t.Fatal(err)
		}
		if written != 0 && revision != written {
			t.Error("a status that says nothing new was written")
		}
		written = revision
	}
	got, _ := store.Get[*corev1.Pod](f.store.Snapshot(), podKey("default", "a"))
	want := update.Status
	want.Conditions, want.QOSClass = append(others, update.Status.Conditions...), corev1.PodQOSBurstable
	if !equality.Semantic.DeepEqual(got.Status, want) {
		t.Errorf("got  %+v\nwant %+v", got.Status, want)
	}
}

func TestRemoveLeavesAFinalizedPodToItsFinalizer(t *testing.T) {
	f := setup(t)
	grace := int64(30)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "a", UID: "u1", Finalizers: []string{"example.com/hold"}, DeletionGracePeriodSeconds: &grace,
	}, Spec: corev1.PodSpec{NodeName: "n1"}}
	f.create(t, podKey("default", "a"), pod)
	for range 2 {
		if err := f.Remove(f.ctx, ref(pod)); err != nil {
			t.Fatal(err)
		}
	}
	got, ok := store.Get[*corev1.Pod](f.store.Snapshot(), podKey("default", "a"))
	if !ok || *got.DeletionGracePeriodSeconds != 0 {
		t.Errorf("pod there: %v, want it there with no grace left", ok)
	}
}

func TestRegisterKeepsWhatOthersSet(t *testing.T) {
	f := setup(t)
	condition := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Unix(100, 0), LastHeartbeatTime: metav1.Unix(100, 0)}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"zone": "a"}}}
	node.Spec.PodCIDR = "10.42.0.0/24"
	node.Status.Conditions = []corev1.NodeCondition{condition}
	stored, err := f.Register(f.ctx, node)
	if err != nil || stored.UID == "" {
		t.Fatalf("uid %q, error %v", stored.UID, err)
	}
	edited := stored.DeepCopy()
	edited.Labels["team"], edited.Spec.Unschedulable = "x", true
	rec, _ := f.store.Snapshot().Get(store.Key{Resource: "nodes", Name: "n1"})
	if _, err := f.store.Update(f.ctx, func(tx *store.Tx) error { tx.Put(rec.Key(), edited, rec.Revision()); return nil }); err != nil {
		t.Fatal(err)
	}
	before := f.store.Snapshot().Revision()
	node.Spec.PodCIDR = "10.42.9.0/24"
	node.Status.Conditions[0].LastTransitionTime, node.Status.Conditions[0].LastHeartbeatTime = metav1.Unix(200, 0), metav1.Unix(200, 0)
	stored, err = f.Register(f.ctx, node)
	if err != nil {
		t.Fatal(err)
	}
	if stored.Labels["team"] != "x" || !stored.Spec.Unschedulable || stored.Spec.PodCIDR != "10.42.0.0/24" {
		t.Errorf("a restart changed labels %v, unschedulable %v, podCIDR %s", stored.Labels, stored.Spec.Unschedulable, stored.Spec.PodCIDR)
	}
	if f.store.Snapshot().Revision() != before {
		t.Error("a restart with nothing new wrote the node")
	}
}

func TestEqualEventsAreCountedUp(t *testing.T) {
	f := setup(t)
	pod := f.pod(t, "a", "n1")
	for range 3 {
		f.Event(ref(pod), corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container", "spec.containers{c}")
	}
	f.Event(ref(pod), corev1.EventTypeNormal, "Started", "Started container", "")
	ctx, stop := context.WithCancel(f.ctx)
	done := make(chan error, 1)
	watch, err := f.store.Watch(f.store.Snapshot().Revision(), "events")
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- f.Run(ctx) }()
	counts := map[string]int32{}
	for counts["BackOff"] < 3 || counts["Started"] < 1 {
		events, err := watch.Next(f.ctx)
		if err != nil {
			t.Fatalf("counts %v: %v", counts, err)
		}
		for _, ev := range events {
			obj := ev.Cur.Object().(*corev1.Event)
			counts[obj.Reason] = obj.Count
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := f.store.Snapshot().Count("events", "default"); n != 2 {
		t.Errorf("%d event objects, want 2", n)
	}
}

func TestMissingConfigMapIsNotFound(t *testing.T) {
	f := setup(t)
	_, err := f.ConfigMap(f.ctx, "default", "settings")
	if !errors.Is(err, agent.ErrNotFound) || !strings.Contains(err.Error(), `configmap "settings" not found`) {
		t.Errorf("error %v", err)
	}
}

// register registers the node as it does itself.
func (f fixture) register(node *corev1.Node) (*corev1.Node, error) {
	return NewWriter(f.store, node.Name, time.Now, uuid.NewUUID).Register(f.ctx, node)
}

// TestNodeHasNoSayInAnothersPods has node n2 write what is n1's.
func TestNodeHasNoSayInAnothersPods(t *testing.T) {
	f := setup(t)
	pod := f.pod(t, "a", "n1")
	other := NewWriter(f.store, "n2", time.Now, uuid.NewUUID)
	before := f.store.Snapshot().Revision()
	if _, err := other.WriteStatus(f.ctx, []agent.PodStatus{{Pod: ref(pod), Status: corev1.PodStatus{Phase: corev1.PodFailed}}}); err != nil {
		t.Fatal(err)
	}
	if err := other.Remove(f.ctx, ref(pod)); err != nil {
		t.Fatal(err)
	}
	events := []Event{
		{Regarding: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "a", UID: pod.UID}, Reason: "Lie"},
		{Regarding: corev1.ObjectReference{Kind: "Node", Name: "n1", UID: "n1"}, Reason: "Lie"},
		{Regarding: corev1.ObjectReference{Kind: "Secret", Namespace: "default", Name: "a"}, Reason: "Lie"},
	}
	if err := other.WriteEvents(f.ctx, events); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Register(f.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}); err == nil {
		t.Error("a node registers as another")
	}
	if now := f.store.Snapshot().Revision(); now != before {
		t.Errorf("something was written: revision %d became %d", before, now)
	}
}

// cutOff is a cluster that cannot be asked until it is.
type cutOff struct {
	*store.Store
	*StoreWriter
	reachable chan struct{}
}

func (c cutOff) await(ctx context.Context) error {
	select {
	case <-c.reachable:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c cutOff) Linearizable(ctx context.Context) (*store.Snapshot, error) {
	if err := c.await(ctx); err != nil {
		return nil, err
	}
	return c.Store.Linearizable(ctx)
}

func (c cutOff) Register(ctx context.Context, node *corev1.Node) (*corev1.Node, error) {
	if err := c.await(ctx); err != nil {
		return nil, err
	}
	return c.StoreWriter.Register(ctx, node)
}

// TestNodeThatIsCutOffGoesOnWithWhatItKnew starts one that the cluster does not answer, and then does.
func TestNodeThatIsCutOffGoesOnWithWhatItKnew(t *testing.T) {
	f := setup(t)
	f.pod(t, "a", "n1")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	node.Spec.PodCIDR = "10.42.0.0/24"
	cluster := cutOff{f.store, NewWriter(f.store, "n1", time.Now, uuid.NewUUID), make(chan struct{})}
	u := New(cluster, cluster, 10*time.Millisecond, time.Now, slog.New(slog.DiscardHandler))
	if _, err := u.Register(f.ctx, node); err == nil {
		t.Error("a node that was never registered goes on without the cluster")
	}
	f.create(t, store.Key{Resource: "nodes", Name: "n1"}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	if _, err := u.Register(f.ctx, node); err == nil {
		t.Error("a node that has no network for pods, as a witness, goes on without the cluster")
	}
	if _, err := f.register(node); err != nil {
		t.Fatal(err)
	}
	changed := node.DeepCopy()
	changed.Labels = map[string]string{"now": "on"}
	known, err := u.Register(f.ctx, changed)
	if err != nil || known.Spec.PodCIDR != "10.42.0.0/24" || known.Labels["now"] != "" {
		t.Fatalf("%v %v, want the node as it was", known, err)
	}
	<-u.Registered()
	ctx, stop := context.WithCancel(f.ctx)
	defer stop()
	go func() { _ = u.Run(ctx) }()
	updates := make(chan string, 10)
	go func() {
		_ = u.Follow(ctx, "n1", func(pods []*corev1.Pod, current bool) {
			updates <- fmt.Sprintf("%d current=%v", len(pods), current)
		})
	}()
	if got := <-updates; got != "1 current=false" {
		t.Errorf("cut off: %s", got)
	}
	watch, err := f.store.Watch(f.store.Snapshot().Revision(), "nodes")
	if err != nil {
		t.Fatal(err)
	}
	u.patience = time.Hour
	newest := changed.DeepCopy()
	newest.Labels["now"] = "newest"
	if known, err := u.Register(f.ctx, newest); err != nil || known.Labels["now"] != "" || !u.Alone() {
		t.Fatalf("%v %v, want the node as it was, while an older one waits", known, err)
	}
	close(cluster.reachable)
	if got := <-updates; got != "1 current=true" {
		t.Errorf("back: %s", got)
	}
	for now := ""; now != "newest"; {
		if _, err := watch.Next(f.ctx); err != nil {
			t.Fatalf("the node that was registered last when the cluster was back is %q: %v", now, err)
		}
		got, _ := store.Get[*corev1.Node](f.store.Snapshot(), store.Key{Resource: "nodes", Name: "n1"})
		now = got.Labels["now"]
	}
}
