package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/registry"
	"covey.dev/covey/agent/containerd/storetest"
	"covey.dev/covey/agent/runtimetest/imagetest"
)

// names keeps what was pushed in memory. It implements agent.Repositories.
type names struct {
	mu   sync.Mutex
	held map[string]map[string]agent.Manifest
	// stale is what is known without a leader; nil while there is one.
	stale map[string]map[string]agent.Manifest
	// before and after are called, once, around the next look.
	before, after func()
}

func once(f *func()) {
	call := *f
	*f = nil
	if call != nil {
		call()
	}
}

func (n *names) Look(_ context.Context, names []string) (map[string]map[string]agent.Manifest, bool, error) {
	once(&n.before)
	defer once(&n.after)
	n.mu.Lock()
	defer n.mu.Unlock()
	from := n.held
	if n.stale != nil {
		from = n.stale
	}
	found := map[string]map[string]agent.Manifest{}
	for _, name := range names {
		found[name] = maps.Clone(from[name])
	}
	return found, n.stale == nil, nil
}

func (n *names) Repository(_ context.Context, name string) (map[string]agent.Manifest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.held[name]), nil
}

func (n *names) ChangeRepository(_ context.Context, name string, change func(map[string]agent.Manifest) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	manifests := maps.Clone(n.held[name])
	if manifests == nil {
		manifests = map[string]agent.Manifest{}
	}
	if err := change(manifests); err != nil {
		return err
	}
	n.held[name] = manifests
	return nil
}

func (n *names) RepositoryNames(context.Context) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.held)), nil
}

var errFull = errors.New("the disk is full")

// node is one with a registry.
type node struct {
	*testing.T
	*registry.Registry
	store *storetest.Store
	full  bool
}

// newNode makes a node that knows what was pushed to others.
func newNode(t *testing.T, known *names, holders agent.Holders) *node {
	n := &node{T: t, store: storetest.New(t)}
	n.Registry = registry.New(registry.Config{
		RegistryConfig: agent.RegistryConfig{Repositories: known, Holders: holders},
		Content:        n.store.Content, Images: n.store.Images, Leases: n.store.Leases,
		In: n.store.In, InPushed: n.store.InPushed, Logger: slog.New(slog.DiscardHandler), NoSpace: errFull,
		Guard: func(r io.Reader) io.Reader {
			if n.full {
				return io.MultiReader(io.LimitReader(r, 1), failing{})
			}
			return r
		},
	})
	return n
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errFull }

// do sends a user's request, and fails the test if the answer is another.
func (n *node) do(want int, method, path string, body []byte) *http.Response {
	n.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	if strings.Contains(path, "/manifests/") && method == http.MethodPut {
		r.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
	}
	w := httptest.NewRecorder()
	n.ForUsers().ServeHTTP(w, r)
	if w.Code != want {
		n.Errorf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, want)
	}
	return w.Result()
}

// push pushes an image of one layer, and gives the digests of both.
func (n *node) push(name, tag, layer string) (manifest, blob digest.Digest) {
	n.Helper()
	upload := func(content []byte) ocispec.Descriptor {
		d := digest.FromBytes(content)
		n.do(http.StatusCreated, http.MethodPost, "/v2/"+name+"/blobs/uploads/?digest="+d.String(), content)
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))}
	}
	config := upload([]byte("{}"))
	config.MediaType = ocispec.MediaTypeImageConfig
	layers := []ocispec.Descriptor{upload([]byte(layer))}
	content, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers,
	})
	if err != nil {
		n.Error(err) // pushes run beside tests
	}
	n.do(http.StatusCreated, http.MethodPut, "/v2/"+name+"/manifests/"+tag, content)
	return digest.FromBytes(content), layers[0].Digest
}

// TestWhatIsPushedStays as long as a tag stands for it, and no longer.
func TestWhatIsPushedStays(t *testing.T) {
	n := newNode(t, &names{held: map[string]map[string]agent.Manifest{}}, nil)
	first, layer := n.push("team/app", "1", "the first")
	n.store.Collect(t)
	n.do(http.StatusOK, http.MethodGet, "/v2/team/app/blobs/"+layer.String(), nil)
	held, err := n.store.Leases.List(n.store.InPushed(t.Context()))
	if err != nil || len(held) != 0 {
		t.Errorf("leases are left: %v, %v", held, err)
	}
	list, err := n.Pushed(t.Context())
	if err != nil || len(list) != 1 || list[0].Ref != "covey.local/team/app:1" || list[0].Digest != first.String() {
		t.Errorf("pushed: %+v, %v", list, err)
	}
	second, _ := n.push("team/app", "1", "the second")
	if desc, err := n.Resolve(t.Context(), "covey.local/team/app:1"); err != nil || desc.Digest != second {
		t.Errorf("the tag stands for %+v (%v), want %s", desc, err, second)
	}
	n.store.Collect(t)
	n.do(http.StatusNotFound, http.MethodGet, "/v2/team/app/blobs/"+layer.String(), nil)
	n.do(http.StatusNotFound, http.MethodGet, "/v2/team/app/manifests/"+first.String(), nil)
	n.do(http.StatusAccepted, http.MethodDelete, "/v2/team/app/manifests/1", nil)
	if list, err := n.Pushed(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after it was deleted: %+v, %v", list, err)
	}
}

// TestWithoutALeaderNothingIsLetGo: what is known here may lack a push that was acknowledged.
func TestWithoutALeaderNothingIsLetGo(t *testing.T) {
	known := &names{held: map[string]map[string]agent.Manifest{}}
	n := newNode(t, known, nil)
	manifest, layer := n.push("app", "1", "a layer")
	known.stale = map[string]map[string]agent.Manifest{}
	list, err := n.Pushed(t.Context())
	if err != nil || len(list) != 1 || list[0].Digest != manifest.String() {
		t.Errorf("pushed, without a leader: %+v, %v", list, err)
	}
	known.stale = nil
	n.store.Collect(t)
	n.do(http.StatusOK, http.MethodGet, "/v2/app/blobs/"+layer.String(), nil)
	if list, err := n.Pushed(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("pushed, with a leader again: %+v, %v", list, err)
	}
}

// TestAPushDuringALook stays: the look has an old record of it, or an old answer of the cluster's.
func TestAPushDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := &names{held: map[string]map[string]agent.Manifest{}}
		n := newNode(t, known, nil)
		n.push("app", "1", "the first")
		look := func(layer string, during *func()) {
			*during = func() {
				go n.push("app", "1", layer)
				synctest.Wait()
			}
			if _, err := n.Pushed(t.Context()); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			n.store.Collect(t)
			if list, err := n.Pushed(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("after %s was pushed: %+v, %v", layer, list, err)
			}
			n.do(http.StatusOK, http.MethodGet, "/v2/app/blobs/"+digest.FromString(layer).String(), nil)
		}
		look("the second", &known.before)
		n.do(http.StatusAccepted, http.MethodDelete, "/v2/app/manifests/1", nil)
		look("the second", &known.after)
	})
}

// TestPushesThatAreRefused leaves nothing behind.
func TestPushesThatAreRefused(t *testing.T) {
	n := newNode(t, &names{held: map[string]map[string]agent.Manifest{}}, nil)
	other := digest.FromString("other").String()
	n.do(http.StatusBadRequest, http.MethodPost, "/v2/app/blobs/uploads/?digest="+other, []byte("not it"))
	n.do(http.StatusBadRequest, http.MethodPost, "/v2/app/blobs/uploads/?digest=sha512:"+strings.Repeat("0", 128), nil)
	n.do(http.StatusBadRequest, http.MethodPost, "/v2/App/blobs/uploads/", nil)
	n.do(http.StatusNotFound, http.MethodPatch, "/v2/app/blobs/uploads/unknown", []byte("x"))
	manifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":5},"layers":[]}`, other)
	n.do(http.StatusNotFound, http.MethodPut, "/v2/app/manifests/1", []byte(manifest))
	n.do(http.StatusBadRequest, http.MethodPut, "/v2/app/manifests/"+other, []byte(`{"schemaVersion":2,"layers":[]}`))
	n.do(http.StatusBadRequest, http.MethodPut, "/v2/app/manifests/1", []byte(`no JSON`))
	n.do(http.StatusBadRequest, http.MethodPut, "/v2/app/manifests/-bad", []byte(`{"schemaVersion":2,"layers":[]}`))
	n.do(http.StatusRequestEntityTooLarge, http.MethodPut, "/v2/app/manifests/1", bytes.Repeat([]byte(" "), 5<<20))
	n.do(http.StatusMethodNotAllowed, http.MethodPost, "/v2/app/manifests/1", nil)
	n.full = true
	n.do(http.StatusInsufficientStorage, http.MethodPost, "/v2/app/blobs/uploads/?digest="+other, []byte("other"))
	n.full = false
	n.do(http.StatusNotFound, http.MethodGet, "/v2/app/tags/list", nil)
	if held, err := n.store.Leases.List(n.store.InPushed(t.Context())); err != nil || len(held) != 0 {
		t.Errorf("leases are left: %v, %v", held, err)
	}
}

// uploads are those that go on.
func (n *node) uploads() []content.Status {
	n.Helper()
	list, err := n.store.Content.ListStatuses(n.store.InPushed(n.Context()))
	if err != nil {
		n.Error(err)
	}
	return list
}

// TestAPushThatFillsTheDisk leaves it.
func TestAPushThatFillsTheDisk(t *testing.T) {
	n := newNode(t, &names{held: map[string]map[string]agent.Manifest{}}, nil)
	layer := digest.FromString("a layer")
	for _, last := range []struct{ method, query string }{{http.MethodPatch, ""}, {http.MethodPut, "?digest=" + layer.String()}} {
		at := n.do(http.StatusAccepted, http.MethodPost, "/v2/app/blobs/uploads/", nil).Header.Get("Location")
		n.full = true
		n.do(http.StatusInsufficientStorage, last.method, at+last.query, []byte("a layer"))
		n.full = false
		if left := n.uploads(); len(left) != 0 {
			t.Errorf("%s: left is %+v", last.method, left)
		}
		n.do(http.StatusNotFound, http.MethodGet, at, nil)
	}
}

// TestPruneDropsPushesThatNobodyEnded, but nothing while something is pushed.
func TestPruneDropsPushesThatNobodyEnded(t *testing.T) {
	n := newNode(t, &names{held: map[string]map[string]agent.Manifest{}}, nil)
	_, named := n.push("app", "1", "a layer of an image")
	layer := digest.FromString("a layer")
	n.do(http.StatusCreated, http.MethodPost, "/v2/app/blobs/uploads/?digest="+layer.String(), []byte("a layer"))
	at := n.do(http.StatusAccepted, http.MethodPost, "/v2/app/blobs/uploads/", nil).Header.Get("Location")
	body, send := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		n.ForUsers().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPatch, at, body))
	}()
	if _, err := send.Write([]byte("some")); err != nil {
		t.Fatal(err)
	}
	prune := func() {
		if err := n.Prune(t.Context()); err != nil {
			t.Error(err)
		}
		n.store.Collect(t)
	}
	prune()
	n.do(http.StatusOK, http.MethodHead, "/v2/app/blobs/"+layer.String(), nil)
	_ = send.Close()
	<-sent
	if len(n.uploads()) != 1 {
		t.Error("the upload that went on is gone")
	}
	prune()
	n.do(http.StatusNotFound, http.MethodHead, "/v2/app/blobs/"+layer.String(), nil)
	n.do(http.StatusOK, http.MethodHead, "/v2/app/blobs/"+named.String(), nil)
	if left := n.uploads(); len(left) != 0 {
		t.Errorf("left is %+v", left)
	}
}

// TestImagesOfAnotherRegistry are pushed under their own names.
func TestImagesOfAnotherRegistry(t *testing.T) {
	n := newNode(t, &names{held: map[string]map[string]agent.Manifest{}}, nil)
	for pushed, name := range map[string]string{
		"docker.io/library/nginx": "docker.io/library/nginx:1", "docker.io/redis": "docker.io/library/redis:1",
		"ghcr.io/team/app": "ghcr.io/team/app:1", "a.b": "covey.local/a.b:1",
	} {
		want, _ := n.push(pushed, "1", pushed)
		if got, err := n.Resolve(t.Context(), name); err != nil || got.Digest != want {
			t.Errorf("%s pushed: %s stands for %v (%v)", pushed, name, got.Digest, err)
		}
	}
}

// others are other nodes. It implements agent.Holders.
type others map[string]http.Handler

func (o others) Holders(string) []string { return slices.Sorted(maps.Keys(o)) }

func (o others) Servers() []string            { return nil }
func (o others) OfServer(*http.Response) bool { return true }

func (o others) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	o[r.URL.Host].ServeHTTP(w, r)
	return w.Result(), nil
}

// TestAnyNodeServesWhatWasPushed asks a node that does not have it, also for a part of a layer.
func TestAnyNodeServesWhatWasPushed(t *testing.T) {
	known := &names{held: map[string]map[string]agent.Manifest{}}
	home := newNode(t, known, nil)
	manifest, layer := home.push("app", "1", "a layer")
	empty := newNode(t, known, nil)
	older, err := imagetest.Image("x", []byte("an older one that pods of it ran"), nil, imagetest.Config())
	if err != nil {
		t.Fatal(err)
	}
	empty.store.Load(t, "covey.local/app:1", older, nil)
	n := newNode(t, known, others{"empty": empty.ForNodes(), "home": home.ForNodes()})
	for path, want := range map[string]digest.Digest{
		"/v2/app/manifests/1": manifest, "/v2/app/manifests/" + manifest.String(): manifest, "/v2/app/blobs/" + layer.String(): layer,
	} {
		content, err := io.ReadAll(n.do(http.StatusOK, http.MethodGet, path, nil).Body)
		if err != nil || digest.FromBytes(content) != want {
			t.Errorf("%s: %q, %v", path, content, err)
		}
	}
	if got := n.do(http.StatusOK, http.MethodHead, "/v2/app/manifests/1", nil); got.Header.Get("Docker-Content-Digest") != manifest.String() || got.Header.Get("Content-Type") != ocispec.MediaTypeImageManifest {
		t.Errorf("HEAD of the manifest: %v", got.Header)
	}
	n.do(http.StatusNotFound, http.MethodHead, "/v2/app/blobs/"+layer.String(), nil) // or those who push would not send it
	for _, asked := range []*node{empty, home} {
		r := httptest.NewRequest(http.MethodHead, "/v2/app/manifests/1?ns=covey.local", nil)
		w := httptest.NewRecorder()
		asked.ForNodes().ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Header().Get("Docker-Content-Digest") != manifest.String() {
			t.Errorf("a node asked what the name stands for says %d %v", w.Code, w.Header())
		}
	}
	w := httptest.NewRecorder()
	home.ForNodes().ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/v2/app/manifests/2?ns=covey.local", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a node may write: %d", w.Code)
	}
}

// TestPages lists tags a few at a time.
func TestPages(t *testing.T) {
	n := newNode(t, &names{held: map[string]map[string]agent.Manifest{}}, nil)
	for _, tag := range []string{"a", "b", "c"} {
		n.push("app", tag, tag)
	}
	resp := n.do(http.StatusOK, http.MethodGet, "/v2/app/tags/list?n=2", nil)
	first, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(first), `["a","b"]`) || resp.Header.Get("Link") != `</v2/app/tags/list?last=b&n=2>; rel="next"` {
		t.Errorf("the first page: %s, %s", first, resp.Header.Get("Link"))
	}
	rest, _ := io.ReadAll(n.do(http.StatusOK, http.MethodGet, "/v2/app/tags/list?last=b&n=2", nil).Body)
	if !strings.Contains(string(rest), `["c"]`) {
		t.Errorf("the last page: %s", rest)
	}
	n.do(http.StatusBadRequest, http.MethodGet, "/v2/app/tags/list?n=many", nil)
}
