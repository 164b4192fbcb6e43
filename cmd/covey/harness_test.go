package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
)

// fakeAPI is an API server with canned answers: by "METHOD /path" first, else by "/path".
type fakeAPI struct {
	*testing.T
	mu       sync.Mutex
	answers  map[string]http.HandlerFunc
	requests []string // method, path and query of all but discovery
	bodies   []string
}

const (
	coreDiscovery = `{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","items":[{"metadata":{},"versions":[{"version":"v1","resources":[
		{"resource":"pods","responseKind":{"kind":"Pod"},"scope":"Namespaced","singularResource":"pod","verbs":["get","list"],"shortNames":["po"],"categories":["all"]},
		{"resource":"configmaps","responseKind":{"kind":"ConfigMap"},"scope":"Namespaced","singularResource":"configmap","verbs":["get","list"],"shortNames":["cm"]},
		{"resource":"events","responseKind":{"kind":"Event"},"scope":"Namespaced","singularResource":"event","verbs":["get","list"]},
		{"resource":"nodes","responseKind":{"kind":"Node"},"scope":"Cluster","singularResource":"node","verbs":["get","list"],"shortNames":["no"]}]}]}]}`
	appsDiscovery = `{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","items":[{"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[
		{"resource":"deployments","responseKind":{"kind":"Deployment"},"scope":"Namespaced","singularResource":"deployment","verbs":["get","list"],"shortNames":["deploy"],"categories":["all"]},
		{"resource":"replicasets","responseKind":{"kind":"ReplicaSet"},"scope":"Namespaced","singularResource":"replicaset","verbs":["get","list"],"shortNames":["rs"],"categories":["all"]}]}]}]}`
)

// serve starts the server and makes it the one of $KUBECONFIG.
func serve(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{T: t, answers: map[string]http.HandlerFunc{}}
	f.reply("/api", 200, coreDiscovery)
	f.reply("/apis", 200, appsDiscovery)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":%q}}],
		"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}`, server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	return f
}

// reply answers requests of a path, or of a method and a path, with a fixed text.
func (f *fakeAPI) reply(what string, code int, text string) {
	f.handle(what, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	})
}

func (f *fakeAPI) handle(what string, answer http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[what] = answer
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	if r.URL.Path != "/api" && r.URL.Path != "/apis" {
		f.requests = append(f.requests, r.Method+" "+r.URL.RequestURI())
		f.bodies = append(f.bodies, string(body))
	}
	answer := f.answers[r.Method+" "+r.URL.Path]
	if answer == nil {
		answer = f.answers[r.URL.Path]
	}
	f.mu.Unlock()
	if answer == nil {
		parts := strings.Split(r.URL.Path, "/")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, status(404, "NotFound", fmt.Sprintf("%s %q not found", parts[len(parts)-2], parts[len(parts)-1])))
		return
	}
	answer(w, r)
}

// lastBody is the body of the last request.
func (f *fakeAPI) lastBody() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bodies[len(f.bodies)-1]
}

func (f *fakeAPI) lastRequest() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[len(f.requests)-1]
}

func status(code int, reason, message string) string {
	text, _ := json.Marshal(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
	return string(text)
}

// result is what a command line gave.
type result struct {
	status   int
	out, err string
}

// covey runs a command line as a user would.
func covey(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return coveyIn(t.Context(), stdin, args...)
}

func coveyIn(ctx context.Context, stdin string, args ...string) result {
	var out, err bytes.Buffer
	root := quiet(newRoot(), strings.NewReader(stdin), &out, &err)
	code := run(ctx, root, args)
	return result{code, out.String(), err.String()}
}

func quiet(root *cobra.Command, in io.Reader, out, err io.Writer) *cobra.Command {
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	return root
}

func (r result) want(t *testing.T, status int, out, err string) {
	t.Helper()
	if r.status != status || r.out != out || r.err != err {
		t.Errorf("status %d, want %d\nout:\n%s\nwant:\n%s\nerr:\n%s\nwant:\n%s", r.status, status, r.out, out, r.err, err)
	}
}
