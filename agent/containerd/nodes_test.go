package containerd

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/runtimetest/imagetest"
	"covey.dev/covey/agent/runtimetest/registrytest"
)

// neighbour is another node. It implements agent.Holders.
type neighbour struct{ http.Handler }

func (n neighbour) Holders(string) []string { return []string{"neighbour"} }

func (n neighbour) Servers() []string            { return nil }
func (n neighbour) OfServer(*http.Response) bool { return true }

func (n neighbour) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	n.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestPullFromAnotherNode takes what was loaded there, and from a node whose disk has gone bad nothing.
func TestPullFromAnotherNode(t *testing.T) {
	p, other := newPuller(t, 0), newPuller(t, 0)
	archive := imagetest.Archive(t, "registry.example/app:1")
	loaded, err := other.Load(t.Context(), bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	ref := loaded[0].Ref
	got, err := p.Pull(t.Context(), agent.PullRequest{Ref: ref, Holders: neighbour{other.Registry(agent.RegistryConfig{}).ForNodes()}})
	if err != nil || !slices.Equal(got.From, []string{"neighbour"}) || got.Image.Digest != loaded[0].Digest || !got.Image.Loaded {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := p.Image(t.Context(), ref); err != nil {
		t.Error(err)
	}

	reg := registrytest.New(t, registrytest.Options{})
	reg.Push(t, "app:1", archive)
	if _, err := other.Pull(t.Context(), agent.PullRequest{Ref: reg.Host + "/app:1"}); err != nil {
		t.Fatal(err)
	}
	bad := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		right := httptest.NewRecorder()
		other.Registry(agent.RegistryConfig{}).ForNodes().ServeHTTP(right, r)
		maps.Copy(w.Header(), right.Header())
		w.WriteHeader(right.Code)
		if strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = w.Write(bytes.Repeat([]byte("x"), right.Body.Len()))
			return
		}
		_, _ = w.Write(right.Body.Bytes())
	})
	if err := p.RemoveImage(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	got, err = p.Pull(t.Context(), agent.PullRequest{Ref: reg.Host + "/app:1", Holders: neighbour{bad}})
	if err != nil || !slices.Equal(got.From, []string{reg.Host}) {
		t.Errorf("%+v, %v", got, err)
	}
}
