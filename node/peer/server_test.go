package peer

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/store"
)

// leads says that it did what it was asked.
type leads struct{}

func (leads) ServePropose(context.Context, *store.Proposal) (uint64, error) { return 7, nil }
func (leads) ServeReadRevision(context.Context) (uint64, store.Fence, error) {
	return 7, store.Fence{}, nil
}
func (leads) ServeCloseFence(context.Context, store.Fence) error { return nil }
func (leads) AwaitRevision(context.Context, uint64) error        { return nil }
func (leads) Dismiss(context.Context, string) error              { return nil }
func (leads) Promote(context.Context, string) error              { return nil }
func (leads) Incarnation() uint64                                { return 7 }
func (leads) Revision() uint64                                   { return 7 }
func (leads) AtMostOnce(context.Context, string) ([]string, error) {
	return []string{"a", "b"}, nil
}

// TestWhatOnlyServersMayAsk has a worker's certificate not reach the state, nor other nodes' pods.
func TestWhatOnlyServersMayAsk(t *testing.T) {
	agent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.Path)) })
	handler := Handler(leads{}, leads{}, agent)
	proposal := proposePath + "?term=1&epoch=0&id=" + strings.Repeat("00", len(store.Proposal{}.ID))
	for _, test := range []struct {
		method, path string
		worker       int
	}{
		{"POST", proposal, http.StatusForbidden},
		{"POST", fencePath + "?term=1&epoch=0", http.StatusForbidden},
		{"GET", revisionPath, http.StatusForbidden},
		{"GET", awaitPath + "7", http.StatusForbidden},
		{"GET", nodePrefix + "/containerLogs/default/web/web", http.StatusForbidden},
		{"GET", pingPath, http.StatusOK},
		{"GET", imagesPrefix + "library/busybox/manifests/1.36", http.StatusOK},
	} {
		for role, want := range map[identity.Role]int{identity.RoleServer: http.StatusOK, identity.RoleWorker: test.worker, "": test.worker} {
			r := httptest.NewRequest(test.method, test.path, strings.NewReader("entry"))
			if role != "" {
				r = r.WithContext(With(r.Context(), identity.Node{ID: "1", Name: "n", Role: role}))
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s %s as %q: %d %s, want %d", test.method, test.path, role, w.Code, w.Body, want)
			}
		}
	}
}

// TestANodeAsksOnlyForItself has no node take another one out of the cluster, nor see its pods.
func TestANodeAsksOnlyForItself(t *testing.T) {
	handler := Handler(leads{}, leads{}, http.NotFoundHandler())
	for path, want := range map[string]int{"DELETE 1": http.StatusOK, "DELETE 2": http.StatusForbidden, "GET 1" + onceSuffix: http.StatusOK, "GET 2" + onceSuffix: http.StatusForbidden} {
		method, id, _ := strings.Cut(path, " ")
		r := httptest.NewRequest(method, memberPath+id, nil)
		r = r.WithContext(context.WithValue(r.Context(), nodeKey{}, identity.Node{ID: "1", Name: "n", Role: identity.RoleServer}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("node 1 asks %s: %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
}
