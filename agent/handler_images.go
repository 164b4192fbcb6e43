package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/agent/serve"
)

// imageRoutes serve the image store: covey image load, ls, rm and pull.
func (a *Agent) imageRoutes(r *mux.Router) {
	r.HandleFunc("/images", func(w http.ResponseWriter, r *http.Request) {
		list, err := a.runtime.ListImages(r.Context())
		answer(w, list, err)
	}).Methods(http.MethodGet)
	r.HandleFunc("/images/load", func(w http.ResponseWriter, r *http.Request) {
		list, err := a.runtime.Load(r.Context(), r.Body)
		a.announce(r.Context())
		a.imagesArrived(isHere(list...))
		if err != nil && !errors.Is(err, context.Canceled) {
			err = apierrors.NewBadRequest(err.Error())
		}
		answer(w, list, err)
	}).Methods(http.MethodPost)
	r.HandleFunc("/images", func(w http.ResponseWriter, r *http.Request) {
		ref, err := namedImage(r)
		if err == nil {
			err = a.removeImage(r.Context(), ref)
		}
		answer(w, struct{}{}, err)
	}).Methods(http.MethodDelete)
	r.HandleFunc("/images/pull", a.pullImage).Methods(http.MethodPost)
	r.PathPrefix("/v2/").Handler(a.registry.ForNodes())
}

// Registry answers users who push and pull at /v2/. Who they are must be known before.
func (a *Agent) Registry() http.Handler { return a.registry.ForUsers() }

// isHere finds the images by their names.
func isHere(list ...Image) func(ref string) bool {
	return func(ref string) bool {
		return slices.ContainsFunc(list, func(image Image) bool { return image.Ref == ref })
	}
}

func namedImage(r *http.Request) (string, error) {
	ref, err := normalize(r.URL.Query().Get("ref"))
	if err != nil {
		return "", apierrors.NewBadRequest(err.Error())
	}
	return ref, nil
}

func (a *Agent) removeImage(ctx context.Context, ref string) error {
	list, err := a.runtime.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Image == ref && c.State != StateExited {
			return apierrors.NewConflict(schema.GroupResource{Resource: "images"}, ref, fmt.Errorf("container %s of pod %s/%s runs it", c.Name, c.Pod.Namespace, c.Pod.Name))
		}
	}
	err = a.runtime.RemoveImage(ctx, ref)
	a.announce(ctx)
	if errors.Is(err, ErrNotFound) {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "images"}, ref)
	}
	return err
}

func answer(w http.ResponseWriter, body any, err error) {
	if err != nil {
		serve.Error(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// pullImage answers with one line of JSON for each progress and a last one with the image or the error.
func (a *Agent) pullImage(w http.ResponseWriter, r *http.Request) {
	ref, err := namedImage(r)
	if err != nil {
		serve.Error(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	lines := json.NewEncoder(w)
	flush := http.NewResponseController(w).Flush
	ring := a.nodeKeyring()
	progress := make(chan PullProgress)
	result := make(chan any, 1)
	go func() {
		defer close(progress)
		pull := &puller{runtime: a.runtime, holders: a.images.holders, registry: a.registry, ctx: r.Context()}
		got, err := pull.tryEach(PullRequest{Ref: ref, Refresh: true, Progress: func(p PullProgress) {
			select {
			case progress <- p:
			case <-r.Context().Done():
			}
		}}, &ring, ring.For(ref))
		if err != nil {
			result <- map[string]string{"error": err.Error()}
			return
		}
		a.announce(r.Context())
		a.imagesArrived(isHere(got.Image))
		result <- got
	}()
	for p := range progress {
		_ = lines.Encode(p)
		_ = flush()
	}
	_ = lines.Encode(<-result)
}
