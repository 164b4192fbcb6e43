package api_test

import (
	"net/http"
	"sync"
	"testing"

	"covey.dev/covey/api"
)

// TestRequestsAreObserved: by what they were about, and without what clients make up.
func TestRequestsAreObserved(t *testing.T) {
	var mu sync.Mutex
	var seen []api.Observed
	s := start(t, func(cfg *api.Config) {
		cfg.Observe = func(o api.Observed) {
			mu.Lock()
			defer mu.Unlock()
			o.Took = 0
			seen = append(seen, o)
		}
	})
	mu.Lock()
	seen = nil // what the start of the test asked
	mu.Unlock()
	s.do("GET", deployments+"/none", "")
	s.do("GET", pods, "")
	s.do("GET", "/apis/made.up/v9/namespaces/default/things/x/y", "")
	s.do("GET", pods+"/p/madeup", "")
	mu.Lock()
	defer mu.Unlock()
	want := []api.Observed{
		{Verb: "GET", Group: "apps", Version: "v1", Resource: "deployments", Code: http.StatusNotFound},
		{Verb: "LIST", Version: "v1", Resource: "pods", Code: http.StatusOK},
		{Verb: "GET", Code: http.StatusNotFound},
		{Verb: "GET", Version: "v1", Resource: "pods", Code: http.StatusNotFound},
	}
	if len(seen) != len(want) {
		t.Fatalf("observed %+v", seen)
	}
	for i := range want {
		if seen[i] != want[i] {
			t.Errorf("observed %+v, want %+v", seen[i], want[i])
		}
	}
}
