package keys

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/peer"
)

// cluster has one worker. The embedded interface is nil: nothing else is asked.
type cluster struct {
	Cluster
	worker string
}

func (c cluster) RoleOf(nodeID string) (identity.Role, bool) {
	return identity.RoleWorker, nodeID == c.worker
}

// endless is a request that has no end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// TestAStrangersRequestIsNotRead by a node that would not answer it anyway.
func TestAStrangersRequestIsNotRead(t *testing.T) {
	const worker = "a worker"
	ask := func(node string) (status, read int) {
		w, body := httptest.NewRecorder(), &endless{}
		ctx := peer.With(t.Context(), identity.Node{ID: node})
		Handler(cluster{worker: worker}).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, certificatePath, body))
		return w.Code, body.read
	}
	if status, read := ask("a stranger"); status != http.StatusForbidden || read > 0 {
		t.Errorf("a stranger is answered %d after %d bytes", status, read)
	}
	if status, read := ask(worker); status != http.StatusBadRequest || read > 2*maxRequest {
		t.Errorf("a worker that says too much is answered %d after %d bytes", status, read)
	}
}
