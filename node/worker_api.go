package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api"
	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// lastKnown is the state that a worker serves while no server can be reached: what it was told last. It implements api.Store.
type lastKnown struct{ *store.Mirror }

// Linearizable implements api.Store: nobody can be asked.
func (lastKnown) Linearizable(context.Context) (*store.Snapshot, error) { return nil, api.ErrAlone }

// Watch implements api.Store. What is told here lacks what other nodes' pods do, and its revisions would make a client go on behind that
// at the next server.
func (lastKnown) Watch(uint64, ...string) (*store.Watcher, error) {
	return nil, apierrors.NewServiceUnavailable("no server of the cluster can be reached from this worker: it can be asked what is known, not to follow what changes")
}

// Update implements api.Store.
func (lastKnown) Update(context.Context, func(*store.Tx) error) (uint64, error) {
	return 0, apierrors.NewServiceUnavailable("no server of the cluster can be reached from this worker: nothing can be changed")
}

// serversOnly are the paths below which servers alone can answer.
var serversOnly = []string{"/covey/", "/v2/"}

// localAPI answers what it is asked first with an API that is made then: most workers never need it.
func (w *worker) localAPI() http.Handler {
	local := sync.OnceValues(w.newLocalAPI)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if slices.ContainsFunc(serversOnly, func(path string) bool { return strings.HasPrefix(r.URL.Path, path) }) {
			refuse(rw, apierrors.NewServiceUnavailable("no server of the cluster can be reached from worker "+w.cfg.Name+", which cannot answer this itself"))
			return
		}
		server, err := local()
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		server.ServeHTTP(rw, r)
	})
}

// newLocalAPI answers clients that are on this worker's side when it is cut off from the servers.
func (w *worker) newLocalAPI() (*api.Server, error) {
	return api.New(api.Config{
		Store:   lastKnown{w.checkpoint},
		Kinds:   kind.All(),
		Scheme:  kind.Scheme(),
		Nodes:   w,
		Version: w.cfg.Version,
		Clock:   w.clock.Stamp,
		Logger:  w.log,
		Partial: true,
		Ready:   func() error { return errors.New("no server can be reached") },
		Stale: func() string {
			return "no server of the cluster can be reached: this is what worker " + w.cfg.Name + " was told last, and of its own pods only"
		},
	})
}

// Handler implements api.Nodes.
func (w *worker) Handler(name string) (http.Handler, error) {
	if name == w.cfg.Name {
		return w.agent.Handler(), nil
	}
	return nil, fmt.Errorf("node %q: %w", name, errNoNode)
}
