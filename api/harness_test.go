package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"covey.dev/covey/api"
	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

const (
	patience = 30 * time.Second
	history  = 256 // events kept for watches
)

// server is the API on a real store, over plain HTTP, with everyone an administrator.
type server struct {
	testing.TB
	url   string
	store *store.Store
	stop  context.CancelFunc // ends what node would end: the store and all requests
	close func()             // ends all requests, and returns when they have ended
}

// testRemote is the header of a request that is to come from another address than it does.
const testRemote = "Test-Remote-Address"

func start(t testing.TB, change ...func(*api.Config)) *server {
	t.Helper()
	return startWith(t, kind.Scheme(), change...)
}

// startWith is start with a store of other types.
func startWith(t testing.TB, scheme *runtime.Scheme, change ...func(*api.Config)) *server {
	t.Helper()
	st, handler := open(t, scheme, change...)
	requests, end := context.WithCancel(context.Background())
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(requests, cancel)()
		if from := r.Header.Get(testRemote); from != "" {
			r.RemoteAddr = from
		}
		handler.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(func() { end(); web.Close() })
	s := &server{TB: t, url: web.URL, store: st, stop: end, close: func() { end(); web.Close() }}
	s.must(http.StatusCreated, "POST", "/api/v1/namespaces", `{"metadata":{"name":"default"}}`)
	return s
}

// open is the API without a connection to it.
func open(t testing.TB, scheme *runtime.Scheme, change ...func(*api.Config)) (*store.Store, *api.Server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	st, err := store.Open(store.Config{Dir: t.TempDir(), NodeID: "n1", Scheme: scheme, History: history, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	awaitLeader(t, st)
	cfg := api.Config{
		Store: st, Kinds: kind.All(), Scheme: kind.Scheme(), Nodes: fakeNodes{}, Version: "test",
		Authenticate: func(*http.Request) (api.User, bool) {
			return api.User{Name: "admin", Groups: []string{"system:masters"}}, true
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	handler, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return st, handler
}

func awaitLeader(t testing.TB, st *store.Store) {
	t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case leads := <-st.Leading():
			if leads {
				return
			}
		case <-deadline:
			t.Fatal("the store found no leader")
		}
	}
}

func (s *server) client(protobuf bool) *kubernetes.Clientset {
	s.Helper()
	cfg := &rest.Config{Host: s.url, UserAgent: "tester/1", QPS: -1}
	if protobuf {
		cfg.ContentType = "application/vnd.kubernetes.protobuf"
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		s.Fatal(err)
	}
	return c
}

type answer struct {
	code   int
	header http.Header
	body   []byte
}

// do sends a request; headers are "Name: value".
func (s *server) do(method, path, body string, headers ...string) answer {
	s.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, content}
}

// must is do with a code to expect, and the answer decoded.
func (s *server) must(code int, method, path, body string, headers ...string) map[string]any {
	s.Helper()
	a := s.do(method, path, body, headers...)
	if a.code != code {
		s.Fatalf("%s %s: code %d, want %d: %s", method, path, a.code, code, a.body)
	}
	var out map[string]any
	if err := json.Unmarshal(a.body, &out); err != nil {
		s.Fatalf("%s %s: %v: %s", method, path, err, a.body)
	}
	return out
}

// at is a field by its path: at(obj, "metadata", "name").
func at(obj any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := obj.(map[string]any)
			obj = m[step]
		case int:
			l, _ := obj.([]any)
			if step >= len(l) {
				return nil
			}
			obj = l[step]
		}
	}
	return obj
}

func (s *server) expect(obj any, want any, path ...any) {
	s.Helper()
	if got := at(obj, path...); fmt.Sprint(got) != fmt.Sprint(want) {
		s.Errorf("%v is %v, want %v", path, got, want)
	}
}

const (
	deployments = "/apis/apps/v1/namespaces/default/deployments"
	configMaps  = "/api/v1/namespaces/default/configmaps"
	pods        = "/api/v1/namespaces/default/pods"
)

// manifest is the service of the README.
func manifest(name string) string {
	return `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"` + name + `","labels":{"app":"` + name + `"}},"spec":{"replicas":1,
"selector":{"matchLabels":{"app":"` + name + `"}},"template":{"metadata":{"labels":{"app":"` + name + `"}},"spec":{"containers":[{"name":"c",
"image":"i:1","ports":[{"containerPort":5000}],"livenessProbe":{"httpGet":{"path":"/","port":5000},"initialDelaySeconds":10,"timeoutSeconds":5,"periodSeconds":30}}]}}}}`
}

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func compact(t *testing.T, doc []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, doc); err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	return out.String()
}

// fakeNodes answer with the request that they got.
type fakeNodes struct{}

func (fakeNodes) Handler(node string) (http.Handler, error) {
	if node == "lost" {
		return nil, fmt.Errorf("node %q cannot be reached", node)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s %s", node, r.Method, r.URL, body)
	}), nil
}
