package node

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"covey.dev/covey/node/gossip"
)

func TestAWitnessSaysThatItHasNoPods(t *testing.T) {
	n := &node{base: &base{cfg: Config{Name: "third"}}}
	w := httptest.NewRecorder()
	n.agentHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/images", http.NoBody))
	const text = "node third is a witness, which has neither pods nor images: ask another node"
	for _, part := range []string{`"kind":"Status"`, `"message":"` + text + `"`, `"errors":[{"code":"UNSUPPORTED","message":"` + text + `"}]`} {
		if !strings.Contains(w.Body.String(), part) || w.Code != http.StatusNotFound {
			t.Errorf("%d, without %s:\n%s", w.Code, part, w.Body)
		}
	}
}

// TestWorkersAskWitnessesLast: those have no images to push or pull.
func TestWorkersAskWitnessesLast(t *testing.T) {
	members := []gossip.Member{{ID: "a", Witness: true}, {ID: "b"}, {ID: "c", Worker: true}, {ID: "d", Witness: true}, {ID: "e"}}
	first := map[string]bool{}
	for worker := range 32 {
		ids := serversFor(string(rune('A'+worker)), members)
		if len(ids) != 4 || slices.Contains(ids[:2], "a") || slices.Contains(ids[:2], "d") {
			t.Errorf("the order is %v", ids)
		}
		first[ids[0]] = true
	}
	if len(first) != 2 {
		t.Errorf("all workers ask the same server first: %v", first)
	}
}
