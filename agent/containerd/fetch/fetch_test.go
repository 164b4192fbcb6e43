package fetch_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/fetch"
	"covey.dev/covey/agent/containerd/registry"
	"covey.dev/covey/agent/containerd/storetest"
	"covey.dev/covey/agent/runtimetest/imagetest"
	"covey.dev/covey/agent/runtimetest/registrytest"
)

// nodes are other nodes with stores of their own. It implements agent.Holders.
type nodes struct {
	*testing.T
	names    []string // in the order in which they are asked
	stores   map[string]*storetest.Store
	handlers map[string]http.Handler
	hosts    map[string]string // where they are served
	workers  []string          // those of the nodes that are no servers

	mu       sync.Mutex
	requests []string
	// fault may answer in a node's stead.
	fault func(node string, w http.ResponseWriter, r *http.Request) bool
}

func newNodes(t *testing.T, names ...string) *nodes {
	t.Helper()
	n := &nodes{T: t, names: names, stores: map[string]*storetest.Store{}, hosts: map[string]string{}, handlers: map[string]http.Handler{}}
	for _, name := range names {
		store := storetest.New(t)
		handler := registry.New(registry.Config{
			Content: store.Content, Images: store.Images, In: store.In, InPushed: store.InPushed, Logger: slog.New(slog.DiscardHandler),
		}).ForNodes()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.mu.Lock()
			n.requests = append(n.requests, strings.TrimSpace(fmt.Sprint(name, " ", r.Method, " ", r.URL.Path, " ", r.Header.Get("Range"))))
			fault := n.fault
			n.mu.Unlock()
			if fault == nil || !fault(name, w, r) {
				handler.ServeHTTP(w, r)
			}
		}))
		t.Cleanup(server.Close)
		n.stores[name], n.handlers[name], n.hosts[name] = store, handler, strings.TrimPrefix(server.URL, "http://")
	}
	return n
}

func (n *nodes) Holders(string) []string { return slices.Clone(n.names) }

func (n *nodes) RoundTrip(r *http.Request) (*http.Response, error) {
	node := r.URL.Host
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", n.hosts[node]
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		resp.TLS = &tls.ConnectionState{ServerName: node}
	}
	return resp, err
}

// Servers implements agent.Roles: it is what each node would like to be taken for.
func (n *nodes) Servers() []string { return slices.Clone(n.names) }

func (n *nodes) OfServer(answer *http.Response) bool {
	return !slices.Contains(n.workers, answer.TLS.ServerName)
}

// dated has a node say of its images since when it has them.
func (n *nodes) dated(name, since string) {
	n.fault = func(node string, w http.ResponseWriter, r *http.Request) bool {
		if node != name || r.Method != http.MethodHead {
			return false
		}
		answer := httptest.NewRecorder()
		n.handlers[node].ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Set("Last-Modified", since)
		w.WriteHeader(answer.Code)
		return true
	}
}

// asked are the requests with that in them.
func (n *nodes) asked(what string) (list []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.requests {
		if strings.Contains(r, what) {
			list = append(list, r)
		}
	}
	return list
}

// pull finds an image and fetches all of it.
func (n *nodes) pull(req fetch.Request) (*fetch.Image, error) {
	n.Helper()
	req.Holders = n
	if req.Registry == nil {
		req.Registry = func(auth agent.Credentials) remotes.Resolver {
			return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
				docker.WithPlainHTTP(docker.MatchAllHosts), docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(func(host string) (string, string, error) {
					if c := auth(host); c != nil {
						return c.Username, c.Password, nil
					}
					return "", "", nil
				}))))})
		}
	}
	if req.Local == nil {
		req.Local = func() (ocispec.Descriptor, map[string]string, bool) { return ocispec.Descriptor{}, nil, false }
	}
	if req.Pushed == nil {
		req.Pushed = func(context.Context) (ocispec.Descriptor, error) { return ocispec.Descriptor{}, errdefs.ErrNotFound }
	}
	req.Here = func(context.Context, ocispec.Descriptor) (content.ReaderAt, error) { return nil, errdefs.ErrNotFound }
	if req.Auth == nil {
		req.Auth = func(string) *agent.RegistryAuth { return nil }
	}
	image, err := fetch.Find(n.Context(), req)
	if err != nil {
		return nil, err
	}
	return image, n.fetch(image)
}

// fetch fetches all of an image into a store of its own.
func (n *nodes) fetch(image *fetch.Image) error {
	n.Helper()
	store := storetest.New(n.T)
	fetcher, err := image.Fetcher(n.Context(), "")
	if err != nil {
		return err
	}
	handler := images.Handlers(remotes.FetchHandler(store.Content, fetcher), images.ChildrenHandler(store.Content))
	return images.Dispatch(store.In(n.Context()), handler, nil, image.Target)
}

func only(t *testing.T, image *fetch.Image, err error, from ...string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got := image.From(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(from))) {
		t.Errorf("it came from %q, want %q", got, from)
	}
}

const app = "registry.example/team/app:1"

func TestOneOfTheNodesHasIt(t *testing.T) {
	n := newNodes(t, "a", "b", "c")
	target := n.stores["b"].Load(t, app, imagetest.Archive(t, "x"), map[string]string{registry.LabelLoaded: "true"})
	for _, ref := range []string{app, "registry.example/team/app@" + target.Digest.String(), "other.example/app@" + target.Digest.String()} {
		image, err := n.pull(fetch.Request{Ref: ref})
		only(t, image, err, "b")
		if image.Target.Digest != target.Digest || image.Target.MediaType != target.MediaType || image.Labels[registry.LabelLoaded] != "true" {
			t.Errorf("%s: %+v", ref, image)
		}
	}
}

// TestTheNewestCounts has two nodes that have different images of the same name.
func TestTheNewestCounts(t *testing.T) {
	n := newNodes(t, "a", "b")
	n.stores["a"].Load(t, app, imagetest.Archive(t, "x"), nil)
	other, err := imagetest.Image("x", []byte("another program"), nil, imagetest.Config())
	if err != nil {
		t.Fatal(err)
	}
	newer := n.stores["b"].Load(t, app, other, nil)
	n.dated("a", "Mon, 02 Jan 2006 15:04:05 GMT")
	image, err := n.pull(fetch.Request{Ref: app})
	only(t, image, err, "b")
	if image.Target.Digest != newer.Digest {
		t.Errorf("got %s, want the newer %s", image.Target.Digest, newer.Digest)
	}
}

// TestAWorkerIsBelievedLast has one say what others know better, and say that it is the newest.
func TestAWorkerIsBelievedLast(t *testing.T) {
	other, err := imagetest.Image("x", []byte("another program"), nil, imagetest.Config())
	if err != nil {
		t.Fatal(err)
	}
	right := imagetest.Archive(t, "x")
	reg := registrytest.New(t, registrytest.Options{})
	pushed := reg.Host + "/app:1"
	reg.Push(t, "app:1", right)
	const away = "127.0.0.1:1/app:1"
	n := newNodes(t, "worker", "server")
	n.workers = []string{"worker"}
	n.dated("worker", "Mon, 02 Jan 2107 15:04:05 GMT")
	var wrong ocispec.Descriptor
	for _, name := range []string{pushed, away, app, reg.Host + "/app:2"} {
		wrong = n.stores["worker"].Load(t, name, other, nil)
	}
	server := n.stores["server"].Load(t, app, right, nil)

	image, err := n.pull(fetch.Request{Ref: app})
	only(t, image, err, "server")
	image, err = n.pull(fetch.Request{Ref: pushed})
	if err != nil || image.Target.Digest != server.Digest {
		t.Errorf("a registry was not believed: %+v, %v", image, err)
	}
	for _, refresh := range []bool{false, true} {
		image, err := n.pull(fetch.Request{Ref: app, Refresh: refresh})
		if err != nil || image.Target.Digest != server.Digest {
			t.Errorf("a server was not believed: %+v, %v", image, err)
		}
	}
	for what, name := range map[string]string{
		"its registry cannot be reached": away, "its registry has none": reg.Host + "/app:2", "its digest is known": away + "@" + wrong.Digest.String(),
	} {
		image, err := n.pull(fetch.Request{Ref: name})
		only(t, image, err, "worker")
		if image.Target.Digest != wrong.Digest {
			t.Errorf("%s: got %s", what, image.Target.Digest)
		}
	}
	asked := len(reg.Requests("HEAD"))
	image, err = n.pull(fetch.Request{Ref: reg.Host + "/app@" + wrong.Digest.String()})
	only(t, image, err, "worker")
	if got := len(reg.Requests("HEAD")); got != asked {
		t.Error("the registry was asked what a digest stands for")
	}
}

// silent is a registry that does not answer.
type silent struct{ remotes.Resolver }

func (silent) Resolve(ctx context.Context, _ string) (string, ocispec.Descriptor, error) {
	if _, limited := ctx.Deadline(); !limited {
		return "", ocispec.Descriptor{}, errors.New("nobody waits so long")
	}
	return "", ocispec.Descriptor{}, context.DeadlineExceeded
}

// TestARegistryIsNotWaitedForLong where a worker knows the image.
func TestARegistryIsNotWaitedForLong(t *testing.T) {
	n := newNodes(t, "worker")
	n.workers = n.names
	n.stores["worker"].Load(t, app, imagetest.Archive(t, "x"), nil)
	waited := false
	image, err := n.pull(fetch.Request{Ref: app, Registry: func(agent.Credentials) remotes.Resolver { waited = true; return silent{} }})
	only(t, image, err, "worker")
	if !waited {
		t.Error("the registry was not asked")
	}
}

// TestANodeBreaksOff has the first node die in the middle of the layer.
func TestANodeBreaksOff(t *testing.T) {
	n := newNodes(t, "a", "b")
	var layer string
	for _, store := range n.stores {
		layer = store.Layers(t, store.Load(t, app, imagetest.Archive(t, "x"), nil))[0].Digest.String()
	}
	const half = 100_000
	var dead string
	n.fault = func(node string, w http.ResponseWriter, r *http.Request) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		if dead == "" && strings.HasSuffix(r.URL.Path, layer) {
			dead = node
			n.handlers[node].ServeHTTP(&cutWriter{w, half}, r)
		}
		if dead == node {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	image, err := n.pull(fetch.Request{Ref: app})
	only(t, image, err, "a", "b")
	if got := n.asked(fmt.Sprintf("bytes=%d-", half)); len(got) != 1 {
		t.Errorf("the other node was not asked to go on at %d: %q", half, n.requests)
	}
}

// TestANodeHasNotAllOfIt lets the registry supply the layer that the node's garbage collection took.
func TestANodeHasNotAllOfIt(t *testing.T) {
	n := newNodes(t, "a")
	reg := registrytest.New(t, registrytest.Options{})
	reg.Push(t, "app:1", imagetest.Archive(t, "x"))
	ref := reg.Host + "/app:1"
	store := n.stores["a"]
	target := store.Load(t, ref, imagetest.Archive(t, "x"), nil)
	layer := store.Layers(t, target)[0].Digest
	if err := store.Content.Delete(store.In(t.Context()), layer); err != nil {
		t.Fatal(err)
	}
	image, err := n.pull(fetch.Request{Ref: ref})
	only(t, image, err, "a", reg.Host)
	if got := reg.Requests(""); len(got) != 1 || !strings.HasSuffix(got[0], layer.String()) {
		t.Errorf("the registry was asked %q, want the layer only", got)
	}
}

// TestAPrivateImage is given to those only who could have it from its registry.
func TestAPrivateImage(t *testing.T) {
	reg := registrytest.New(t, registrytest.Options{Username: "me", Password: "secret"})
	reg.Push(t, "app:1", imagetest.Archive(t, "x"))
	ref := reg.Host + "/app:1"
	as := func(user, password string) agent.Credentials {
		return func(string) *agent.RegistryAuth { return &agent.RegistryAuth{Username: user, Password: password} }
	}
	first := newNodes(t)
	pulled, err := first.pull(fetch.Request{Ref: ref, Auth: as("me", "secret")})
	only(t, pulled, err, reg.Host)
	if pulled.Labels[registry.LabelCredential] == "" {
		t.Fatalf("that it took a credential is not noted: %v", pulled.Labels)
	}

	n := newNodes(t, "a")
	target := n.stores["a"].Load(t, ref, imagetest.Archive(t, "x"), pulled.Labels)
	before := len(reg.Requests(""))
	image, err := n.pull(fetch.Request{Ref: ref, Auth: as("me", "secret")})
	only(t, image, err, "a")
	if got := len(reg.Requests("")); got != before {
		t.Error("the registry was asked although the node has it and the credential is the same")
	}
	if image.Labels[registry.LabelCredential] != pulled.Labels[registry.LabelCredential] {
		t.Errorf("the copy does not say that it took a credential: %v", image.Labels)
	}
	for what, auth := range map[string]agent.Credentials{"none": nil, "another": as("you", "guess")} {
		for _, name := range []string{ref, reg.Host + "/app@" + target.Digest.String()} {
			if image, err := n.pull(fetch.Request{Ref: name, Auth: auth}); err == nil {
				t.Errorf("%s with %s credential: it came from %v", name, what, image.From())
			}
		}
	}
	t.Run("another credential that the registry takes", func(t *testing.T) {
		open := registrytest.New(t, registrytest.Options{})
		open.Push(t, "app:1", imagetest.Archive(t, "x"))
		n := newNodes(t, "a")
		n.stores["a"].Load(t, open.Host+"/app:1", imagetest.Archive(t, "x"), pulled.Labels)
		image, err := n.pull(fetch.Request{Ref: open.Host + "/app:1", Auth: as("other", "right")})
		only(t, image, err, "a")
		if got := open.Requests("HEAD"); len(got) != 1 {
			t.Errorf("the registry was asked %q, want to be asked what the name stands for", open.Requests(""))
		}
	})
}

// TestTheRegistryDecides is about imagePullPolicy Always.
func TestTheRegistryDecides(t *testing.T) {
	reg := registrytest.New(t, registrytest.Options{})
	reg.Push(t, "app:1", imagetest.Archive(t, "x"))
	other, err := imagetest.Image("x", []byte("another program"), nil, imagetest.Config())
	if err != nil {
		t.Fatal(err)
	}
	n := newNodes(t, "a")
	n.stores["a"].Load(t, reg.Host+"/app:1", other, nil)
	n.stores["a"].Load(t, "registry.example/app:old", imagetest.Archive(t, "x"), nil)
	image, err := n.pull(fetch.Request{Ref: reg.Host + "/app:1", Refresh: true})
	only(t, image, err, "a")
	if got := reg.Requests(""); len(got) != 1 {
		t.Errorf("the registry was asked %q, want to be asked what the name stands for", got)
	}

	n.stores["a"].Load(t, reg.Host+"/app:2", other, nil)
	if image, err := n.pull(fetch.Request{Ref: reg.Host + "/app:2", Refresh: true}); err == nil {
		t.Errorf("what the registry does not have came from %v", image.From())
	}
	gone := "127.0.0.1:1/app:1"
	n.stores["a"].Load(t, gone, other, nil)
	image, err = n.pull(fetch.Request{Ref: gone, Refresh: true})
	only(t, image, err, "a")
	if image.Unasked == nil {
		t.Error("it does not say that the registry was not there")
	}
}

// TestWhatIsHereCountsWhereTheRegistryIsGone prefers the image of this machine to that of another node, with the same rule for
// credentials.
func TestWhatIsHereCountsWhereTheRegistryIsGone(t *testing.T) {
	n := newNodes(t, "a")
	const gone = "127.0.0.1:1/app:1"
	here := n.stores["a"].Load(t, "some.example/else:1", imagetest.Archive(t, "x"), nil)
	req := fetch.Request{Ref: gone, Refresh: true, Local: func() (ocispec.Descriptor, map[string]string, bool) {
		return here, map[string]string{registry.LabelLoaded: "true"}, true
	}}
	image, err := n.pull(req)
	if err != nil || image.Target.Digest != here.Digest || image.Unasked == nil || image.Labels[registry.LabelLoaded] != "true" {
		t.Errorf("%+v, %v", image, err)
	}
	req.Local = func() (ocispec.Descriptor, map[string]string, bool) {
		return here, map[string]string{registry.LabelCredential: "somebody's"}, true
	}
	if image, err := n.pull(req); err == nil {
		t.Errorf("without the credential: %+v", image)
	}
}

// TestANodeThatSendsSomethingElse is found out by the digest; then the registry alone counts.
func TestANodeThatSendsSomethingElse(t *testing.T) {
	n := newNodes(t, "a")
	reg := registrytest.New(t, registrytest.Options{})
	reg.Push(t, "app:1", imagetest.Archive(t, "x"))
	ref := reg.Host + "/app:1"
	n.stores["a"].Load(t, ref, imagetest.Archive(t, "x"), nil)
	n.fault = func(_ string, w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		right := httptest.NewRecorder()
		n.handlers["a"].ServeHTTP(right, r)
		maps.Copy(w.Header(), right.Header())
		_, _ = w.Write(bytes.Repeat([]byte("x"), right.Body.Len()))
		return true
	}
	image, err := n.pull(fetch.Request{Ref: ref})
	if err == nil || image == nil {
		t.Fatalf("wrong content was taken, or none: %+v", image)
	}
	image, found, err := image.Distrust(t.Context())
	if !found || err != nil {
		t.Fatalf("the registry is not asked: %v", err)
	}
	only(t, image, n.fetch(image), reg.Host)
	if _, found, _ := image.Distrust(t.Context()); found {
		t.Error("the registry is distrusted too")
	}
}

// TestWhatWasPushedToTheCluster counts before what nodes have, whatever the policy; there is no registry behind it.
func TestWhatWasPushedToTheCluster(t *testing.T) {
	n := newNodes(t, "a", "b")
	const name = "covey.local/app:1"
	target := n.stores["b"].Load(t, "covey.local/app:old", imagetest.Archive(t, "x"), nil)
	other, err := imagetest.Image("x", []byte("another program"), nil, imagetest.Config())
	if err != nil {
		t.Fatal(err)
	}
	stale := n.stores["a"].Load(t, name, other, nil)
	pushed := func(context.Context) (ocispec.Descriptor, error) { return target, nil }
	for _, refresh := range []bool{false, true} {
		image, err := n.pull(fetch.Request{Ref: name, Refresh: refresh, Pushed: pushed})
		only(t, image, err, "b")
		if image.Target.Digest != target.Digest || image.Labels[registry.LabelLoaded] == "" {
			t.Errorf("got %+v, want what was pushed", image)
		}
	}
	image, err := n.pull(fetch.Request{Ref: name, Refresh: true}) // as on a worker, which does not know what was pushed
	only(t, image, err, "a")
	if image.Target.Digest != stale.Digest {
		t.Errorf("got %+v, want what the node says", image)
	}
	if image, err := n.pull(fetch.Request{Ref: "covey.local/none:1"}); err == nil || !strings.Contains(err.Error(), "nothing was pushed to the cluster as covey.local/none:1") {
		t.Errorf("what was never pushed: %+v, %v", image, err)
	}
}

// TestTooManyAskANode waits for its turn.
func TestTooManyAskANode(t *testing.T) {
	n := newNodes(t, "a")
	n.stores["a"].Load(t, app, imagetest.Archive(t, "x"), nil)
	refused := 0
	n.fault = func(_ string, w http.ResponseWriter, r *http.Request) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !strings.Contains(r.URL.Path, "/blobs/") || refused > 0 {
			return false
		}
		refused++
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	image, err := n.pull(fetch.Request{Ref: app})
	only(t, image, err, "a")
}

// cutWriter breaks the connection after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if len(p) <= w.left {
		w.left -= len(p)
		return w.ResponseWriter.Write(p)
	}
	_, _ = w.ResponseWriter.Write(p[:w.left])
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func TestNobodyHasIt(t *testing.T) {
	n := newNodes(t, "a", "b")
	reg := registrytest.New(t, registrytest.Options{})
	if _, err := n.pull(fetch.Request{Ref: reg.Host + "/app:1"}); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := fetch.Find(ctx, fetch.Request{Ref: app, Holders: n, Pushed: func(context.Context) (ocispec.Descriptor, error) { return ocispec.Descriptor{}, errdefs.ErrNotFound }, Registry: func(agent.Credentials) remotes.Resolver { return docker.NewResolver(docker.ResolverOptions{}) }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
