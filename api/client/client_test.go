package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

func connect(t *testing.T, handler http.HandlerFunc, warn func(string)) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(&Config{REST: &rest.Config{Host: server.URL}, Namespace: "default"}, warn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writeKubeconfig names the server after the file, to tell which was read.
func writeKubeconfig(t *testing.T, file string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":"https://%s"}}],
		"contexts":[{"name":"c","context":{"cluster":"c","user":"u","namespace":"team"}}],"users":[{"name":"u","user":{}}]}`,
		strings.Trim(strings.ReplaceAll(filepath.Base(filepath.Dir(file)), ".", ""), "/"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoadOrder(t *testing.T) {
	tests := []struct {
		name                   string
		flag, env, local, home bool
		want                   string
	}{
		{"flag first", true, true, true, true, "https://flag"},
		{"then KUBECONFIG", false, true, true, true, "https://env"},
		{"then the local node", false, false, true, true, "https://data"},
		{"then home", false, false, false, true, "https://kube"},
		{"then an error that says what to do", false, false, false, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("HOME", dir)
			t.Setenv("COVEY_DATA_DIR", filepath.Join(dir, "data"))
			t.Setenv("KUBECONFIG", "")
			var o Options
			if tt.flag {
				o.Kubeconfig = writeKubeconfig(t, filepath.Join(dir, "flag", "config"))
			}
			if tt.env {
				t.Setenv("KUBECONFIG", writeKubeconfig(t, filepath.Join(dir, "env", "config")))
			}
			if tt.local {
				writeKubeconfig(t, filepath.Join(dir, "data", "admin.kubeconfig"))
			}
			if tt.home {
				writeKubeconfig(t, filepath.Join(dir, ".kube", "config"))
			}
			cfg, err := Load(o)
			if tt.want == "" {
				if !errors.Is(err, ErrNoConfig) || !strings.Contains(err.Error(), "covey start") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if cfg.REST.Host != tt.want || cfg.Namespace != "team" {
				t.Errorf("server %s, namespace %s; want %s, team", cfg.REST.Host, cfg.Namespace, tt.want)
			}
		})
	}
}

func TestLoadOnAWorker(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("COVEY_DATA_DIR", dir)
	if _, err := Load(Options{}); !errors.Is(err, ErrNoConfig) || !strings.Contains(err.Error(), "it is a worker") || !strings.Contains(err.Error(), "--kubeconfig FILE") {
		t.Errorf("error %v, want one that says what to do on a worker", err)
	}
}

func TestLoadMissing(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent/config")
	if _, err := Load(Options{}); !errors.Is(err, ErrNoConfig) || !strings.Contains(err.Error(), "/nonexistent/config") {
		t.Errorf("error %v, want one that names the file", err)
	}
	if _, err := Load(Options{Kubeconfig: "/nonexistent/flag"}); err == nil || !strings.Contains(err.Error(), "/nonexistent/flag") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestExplain(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Deployment"}, "web", nil)
	cause := metav1.StatusCause{Field: "spec.replicas", Message: "Invalid value: -1"}
	invalid.ErrStatus.Details.Causes = []metav1.StatusCause{cause}
	twice := invalid.ErrStatus.DeepCopy()
	twice.Details.Causes = append(twice.Details.Causes, metav1.StatusCause{Field: "spec.selector", Message: "Required value"})
	tests := []struct {
		err  error
		want string
	}{
		{errors.New("no"), "error: no"},
		{apierrors.NewNotFound(deployments, "x"), `Error from server (NotFound): deployments.apps "x" not found`},
		{invalid, `The Deployment "web" is invalid: spec.replicas: Invalid value: -1`},
		{&apierrors.StatusError{ErrStatus: *twice}, "The Deployment \"web\" is invalid: \n* spec.replicas: Invalid value: -1\n* spec.selector: Required value"},
		{apierrors.NewUnauthorized("Unauthorized"), "error: You must be logged in to the server (Unauthorized)"},
		{
			&LocatedError{Doing: `error when applying "a.yaml"`, Err: apierrors.NewBadRequest("unknown field")},
			`Error from server (BadRequest): error when applying "a.yaml": unknown field`,
		},
	}
	for _, tt := range tests {
		if got := Explain(tt.err); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// unheard is an address that nobody listens at, and nobody else can take while the test runs.
func unheard(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", bound.(*unix.SockaddrInet4).Port)
}

func TestExplainRefused(t *testing.T) {
	host := unheard(t)
	c, err := New(&Config{REST: &rest.Config{Host: "http://" + host}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Do(t.Context(), Request{Path: "/version"})
	want := "The connection to the server " + host + " was refused - did you specify the right host or port?"
	if got := Explain(err); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnswers(t *testing.T) {
	var warnings []string
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/warns":
			w.Header().Add("Warning", `299 - "first, with \"quotes\""`)
			w.Header().Add("Warning", `299 - "second"`)
			fmt.Fprint(w, "{}")
		case "/html":
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>a proxy's page</html>")
		}
	}, func(text string) { warnings = append(warnings, text) })
	if _, _, err := c.Do(t.Context(), Request{Path: "/warns"}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(warnings, "; "); got != `first, with "quotes"; second` {
		t.Errorf("warnings %q", got)
	}
	_, _, err := c.Do(t.Context(), Request{Path: "/html"})
	if err == nil || strings.Contains(err.Error(), "<html>") {
		t.Errorf("error %v, want one without a page", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Do(ctx, Request{Path: "/warns"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a cancelled one", err)
	}
}

func served() Resources {
	return Resources{
		{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, Plural: "pods", Singular: "pod", ShortNames: []string{"po"}, Categories: []string{"all"}, Verbs: []string{"list"}, Namespaced: true},
		{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Node"}, Plural: "nodes", Singular: "node", ShortNames: []string{"no"}, Verbs: []string{"list"}},
		{GroupVersionKind: schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, Plural: "deployments", Singular: "deployment", ShortNames: []string{"deploy"}, Categories: []string{"all"}, Verbs: []string{"list"}, Namespaced: true},
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string]string{
		"po": "pods", "pod": "pods", "pods": "pods", "Pod": "pods", "deploy": "deployments.apps", "deployments.apps": "deployments.apps",
		"deployment.v1.apps": "deployments.apps", "pods.v1": "pods", "Deployment": "deployments.apps",
	} {
		r, err := served().Lookup(name)
		if err != nil || r.GroupResource() != want {
			t.Errorf("%s: %v, %v; want %s", name, r, err, want)
		}
	}
	for _, name := range []string{"podz", "pods.apps", "deployments.extensions", ""} {
		if _, err := served().Lookup(name); err == nil || err.Error() != fmt.Sprintf("the server doesn't have a resource type %q", name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for names, want := range map[string]string{"all": "pods deployments", "no,all": "nodes pods deployments", "po,pods,deploy": "pods deployments"} {
		found, err := served().LookupAll(names)
		var plurals []string
		for _, r := range found {
			plurals = append(plurals, r.Plural)
		}
		if got := strings.Join(plurals, " "); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", names, got, err, want)
		}
	}
}

func TestPath(t *testing.T) {
	pods, nodes, deployments := served()[0], served()[1], served()[2]
	for got, want := range map[string]string{
		pods.Path("a", "x", "log"):   "/api/v1/namespaces/a/pods/x/log",
		pods.Path(""):                "/api/v1/pods",
		nodes.Path("a", "n"):         "/api/v1/nodes/n",
		deployments.Path("a", "web"): "/apis/apps/v1/namespaces/a/deployments/web",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

var errEnough = errors.New("enough")

// A watch goes on from where it was when its stream ends, and hands out no bookmarks.
func TestWatchGoesOn(t *testing.T) {
	var asked atomic.Int32
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		event := func(typ, revision string) {
			fmt.Fprintf(w, `{"type":%q,"object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","resourceVersion":%q}}}`+"\n", typ, revision)
		}
		switch n, from := asked.Add(1), r.URL.Query().Get("resourceVersion"); {
		case n == 1 && from == "5":
			event("ADDED", "6")
			event("BOOKMARK", "9")
		case n == 2 && from == "9":
			event("MODIFIED", "10")
		default:
			t.Errorf("request %d asks from %s", n, from)
		}
	}, nil)
	var got []string
	err := c.Watch(t.Context(), Request{Path: "/api/v1/pods"}, "5", func(e Event) error {
		var meta metav1.PartialObjectMetadata
		if err := json.Unmarshal(e.Object, &meta); err != nil {
			return err
		}
		got = append(got, string(e.Type)+meta.ResourceVersion)
		if len(got) == 2 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || strings.Join(got, " ") != "ADDED6 MODIFIED10" {
		t.Errorf("events %v, error %v", got, err)
	}
}

func TestWatchExpired(t *testing.T) {
	answers := map[string]string{
		"as an event":  `{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","code":410}}`,
		"as an answer": "",
	}
	for name, event := range answers {
		c := connect(t, func(w http.ResponseWriter, _ *http.Request) {
			if event == "" {
				w.WriteHeader(http.StatusGone)
				event = `{"kind":"Status","status":"Failure","reason":"Expired","code":410}`
			}
			_, _ = io.WriteString(w, event)
		}, nil)
		err := c.Watch(t.Context(), Request{Path: "/api/v1/pods"}, "1", func(Event) error { return nil })
		if !IsExpired(err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWatchCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	}, nil)
	if err := c.Watch(ctx, Request{Path: "/api/v1/pods"}, "1", func(Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a cancelled one", err)
	}
}
