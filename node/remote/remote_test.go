package remote

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"

	"covey.dev/covey/agent"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/peer"
	"covey.dev/covey/node/upstream"
	"covey.dev/covey/store"
	"covey.dev/covey/store/protocol"
)

const annotation = "covey.dev/node-id"

var quiet = slog.New(slog.DiscardHandler)

// fixture is a store that servers answer from. Worker w1 has the key 1.
type fixture struct {
	*testing.T
	ctx   context.Context
	store *store.Store
}

func setup(t *testing.T) fixture {
	t.Helper()
	st, err := store.Open(store.Config{Dir: t.TempDir(), NodeID: "n1", Scheme: scheme.Scheme, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, st.Run)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return fixture{t, ctx, st}
}

// run runs a part for the time of the test.
func run(t *testing.T, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
}

// server answers requests as if node had sent them.
func (f fixture) server(node identity.Node) *httptest.Server {
	handler := Handler(Cluster{
		Store: f.store, IDAnnotation: annotation, Log: quiet,
		Writer: func(name string) upstream.Writer { return upstream.NewWriter(f.store, name, time.Now, uuid.NewUUID) },
		Keeps:  func(id string) bool { return id == "1" },
	})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(peer.With(r.Context(), node)))
	}))
	f.Cleanup(s.CloseClientConnections)
	f.Cleanup(s.Close)
	return s
}

var w1 = identity.Node{ID: "1", Name: "w1", Role: identity.RoleWorker}

// client follows the servers in their order.
func (f fixture) client(servers ...*httptest.Server) *Client {
	f.Helper()
	mirror, err := store.OpenMirror(filepath.Join(f.TempDir(), "state.db"), scheme.Scheme, quiet)
	if err != nil {
		f.Fatal(err)
	}
	run(f.T, mirror.Run)
	var ids []string
	for _, s := range servers {
		ids = append(ids, s.Listener.Addr().String())
	}
	c := NewClient(Config{
		Mirror: mirror, Transport: servers[0].Client().Transport, Log: quiet,
		Servers: func() ([]string, <-chan struct{}) { return ids, make(chan struct{}) },
	})
	run(f.T, c.Run)
	return c
}

func (f fixture) put(resource string, obj store.Object) {
	f.Helper()
	key := store.Key{Resource: resource, Namespace: obj.GetNamespace(), Name: obj.GetName()}
	if _, err := f.store.Update(f.ctx, func(tx *store.Tx) error {
		if rec, ok := tx.Get(key); ok {
			tx.Put(key, obj, rec.Revision())
		} else {
			tx.Create(key, obj)
		}
		return nil
	}); err != nil {
		f.Fatal(err)
	}
}

func pod(name, node string, secrets ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
	p.Spec.NodeName = node
	for _, s := range secrets {
		p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
	}
	return p
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}
}

// knows waits until the worker knows exactly these objects.
func (f fixture) knows(c *Client, want ...string) {
	f.Helper()
	watch, err := c.Watch(c.Snapshot().Revision())
	for {
		var got []string
		for _, resource := range []string{nodes, pods, configMaps, secrets, RemovedTable} {
			for rec := range c.Snapshot().List(resource, "") {
				got = append(got, resource+"/"+rec.Key().Name)
			}
		}
		if slices.Equal(got, want) {
			return
		}
		if err == nil {
			_, err = watch.Next(f.ctx)
		}
		if err != nil {
			f.Fatalf("the worker knows %v, want %v: %v", got, want, err)
		}
	}
}

func TestWorkerIsToldOfItselfOnly(t *testing.T) {
	f := setup(t)
	f.put(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	f.put(secrets, &corev1.Secret{ObjectMeta: meta("other")})
	f.put(secrets, &corev1.Secret{ObjectMeta: meta("mine")})
	f.put(pods, pod("elsewhere", "n1", "other"))
	c := f.client(f.server(w1))
	if _, err := c.Linearizable(f.ctx); err != nil {
		t.Fatal(err)
	}
	f.knows(c, "nodes/n1")
	if err := f.store.Agree(f.ctx, protocol.Newest); err != nil {
		t.Fatal(err)
	}
	f.put(pods, pod("a", "w1", "mine", "late"))
	f.knows(c, "nodes/n1", "pods/a", "secrets/mine")
	if got := c.Snapshot().Agreed(); got != protocol.Newest {
		t.Errorf("the worker knows that protocol version %d was agreed on", got)
	}
	f.put(secrets, &corev1.Secret{ObjectMeta: meta("late")})
	f.put(configMaps, &corev1.ConfigMap{ObjectMeta: meta("unrelated")})
	f.put(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}})
	f.knows(c, "nodes/n1", "nodes/n2", "pods/a", "secrets/late", "secrets/mine")
	f.put(pods, pod("a", "n2", "mine", "late")) // as if it were another's now
	f.knows(c, "nodes/n1", "nodes/n2")
	f.put(RemovedTable, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "3"}})
	f.knows(c, "nodes/n1", "nodes/n2", RemovedTable+"/3")
	f.knows(f.client(f.server(w1)), "nodes/n1", "nodes/n2", RemovedTable+"/3")
}

func TestWorkerWritesOfItselfOnly(t *testing.T) {
	f := setup(t)
	f.put(pods, pod("a", "w1"))
	f.put(pods, pod("elsewhere", "n1"))
	c := f.client(f.server(w1))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1", Annotations: map[string]string{annotation: "a lie"}}}
	node.Spec.PodCIDR, node.Spec.Unschedulable = "10.42.1.0/24", true
	stored, err := c.Register(f.ctx, node)
	if err != nil {
		t.Fatal(err)
	}
	if stored.Annotations[annotation] != "1" || stored.Spec.PodCIDR != "10.42.1.0/24" || stored.Spec.Unschedulable {
		t.Errorf("registered as %v %v", stored.Annotations, stored.Spec)
	}
	node.Name = "n1"
	if _, err := c.Register(f.ctx, node); err == nil {
		t.Error("it registers another node")
	}
	running := corev1.PodStatus{Phase: corev1.PodRunning}
	updates := []agent.PodStatus{
		{Pod: agent.PodRef{Namespace: "default", Name: "a", UID: "a"}, Status: running},
		{Pod: agent.PodRef{Namespace: "default", Name: "elsewhere", UID: "elsewhere"}, Status: running},
	}
	if _, err := c.WriteStatus(f.ctx, updates); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]corev1.PodPhase{"a": corev1.PodRunning, "elsewhere": ""} {
		got, _ := store.Get[*corev1.Pod](f.store.Snapshot(), store.Key{Resource: pods, Namespace: "default", Name: name})
		if got.Status.Phase != want {
			t.Errorf("pod %s is %q, want %q", name, got.Status.Phase, want)
		}
		if err := c.Remove(f.ctx, agent.PodRef{Namespace: "default", Name: name, UID: name}); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.store.Snapshot().Count(pods, ""); n != 1 {
		t.Errorf("%d pods are left, want the one that is another's", n)
	}
}

func TestWhoIsNotTold(t *testing.T) {
	f := setup(t)
	known := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1", Annotations: map[string]string{annotation: "1"}}}
	f.put(nodes, known)
	for name, test := range map[string]struct {
		node identity.Node
		want string
	}{
		"nobody":            {identity.Node{}, "only a worker"},
		"a server":          {identity.Node{ID: "9", Name: "n9", Role: identity.RoleServer}, "only a worker"},
		"one of its name":   {identity.Node{ID: "2", Name: "w1", Role: identity.RoleWorker}, "another node is called w1"},
		"the worker itself": {w1, ""},
	} {
		s := f.server(test.node)
		c := NewClient(Config{Transport: s.Client().Transport, Log: quiet})
		err := c.ask(f.ctx, s.Listener.Addr().String(), eventsPath, []byte(`[]`), &struct{}{})
		var no refusal
		if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &no) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestAWorkerThatWasRemovedIsNotRefusedForGood: the server that says so may be behind one that has let it in again.
func TestAWorkerThatWasRemovedIsNotRefusedForGood(t *testing.T) {
	f := setup(t)
	handler := Handler(Cluster{
		Store: f.store, IDAnnotation: annotation, Log: quiet,
		Writer: func(name string) upstream.Writer {
			return upstream.NewWriter(f.store, name, time.Now, uuid.NewUUID).Admitting(func(*store.Tx, *corev1.Node) error { return ErrRemoved })
		},
	})
	r := httptest.NewRequest(http.MethodPost, registerPath, strings.NewReader(`{"metadata":{"name":"w1"}}`))
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, r.WithContext(peer.With(f.ctx, w1)))
	var no refusal
	if err := refused(answer.Result()); err == nil || errors.As(err, &no) || !strings.Contains(err.Error(), ErrRemoved.Error()) {
		t.Errorf("%v, want one that asking again may help against", err)
	}
}

func TestWorkerFollowsAnotherServer(t *testing.T) {
	f := setup(t)
	f.put(pods, pod("a", "w1"))
	first, second := f.server(w1), f.server(w1)
	c := f.client(first, second)
	f.knows(c, "pods/a")
	_ = first.Config.Close() // with its listener, so that nobody comes back to it
	f.put(pods, pod("b", "w1"))
	f.knows(c, "pods/a", "pods/b")
	if err := c.WriteEvents(f.ctx, nil); err != nil {
		t.Error(err)
	}
}
