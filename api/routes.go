package api

import (
	"net/http"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/openapi"
)

// verbs are what a path answers, by HTTP method.
type verbs map[string]func(*call) error

// routes builds the router: a subrouter for each group and version, so that a request is matched against few routes.
func (s *Server) routes() *mux.Router {
	root := mux.NewRouter().SkipClean(true)
	root.NotFoundHandler = http.HandlerFunc(s.notFound)
	s.healthRoutes(root)
	s.discoveryRoutes(root)
	openapi.Routes(root)
	for _, gv := range s.groups {
		sub := root.PathPrefix(gv.path() + "/").Subrouter()
		s.reviewRoutes(sub, gv)
		s.measuredRoutes(sub, gv)
		for _, k := range gv.kinds {
			s.kindRoutes(sub, k)
		}
	}
	return root
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errNoRoute) }

// kindRoutes are the paths of one kind.
func (s *Server) kindRoutes(sub *mux.Router, k *kind.Kind) {
	all := "/" + k.Plural
	scope := all
	if k.Namespaced {
		scope = "/namespaces/{namespace}" + all
		s.route(sub, all, k, "", verbs{http.MethodGet: listOrWatch})
	}
	item := scope + "/{name}"
	s.route(sub, item, k, "", verbs{
		http.MethodGet: get, http.MethodPut: update, http.MethodPatch: patchObject, http.MethodDelete: deleteObject,
	})
	s.route(sub, scope, k, "", verbs{
		http.MethodGet: listOrWatch, http.MethodPost: create, http.MethodDelete: deleteCollection,
	})
	if k.HasStatus {
		s.route(sub, item+"/status", k, "status", verbs{
			http.MethodGet: get, http.MethodPut: update, http.MethodPatch: patchObject,
		})
	}
	for name := range k.Parts {
		s.route(sub, item+"/"+name, k, name, verbs{
			http.MethodGet: get, http.MethodPut: update, http.MethodPatch: patchObject,
		})
	}
	if k.Scale != nil {
		s.route(sub, item+"/scale", k, "scale", verbs{
			http.MethodGet: getScale, http.MethodPut: updateScale, http.MethodPatch: patchScale,
		})
	}
	s.specialRoutes(sub, item, k)
}

// specialRoutes are the subresources that only one kind has.
func (s *Server) specialRoutes(sub *mux.Router, item string, k *kind.Kind) {
	switch k.Resource() {
	case "namespaces":
		s.route(sub, item+"/finalize", k, "finalize", verbs{http.MethodPut: finalize})
	case "pods":
		s.route(sub, item+"/binding", k, "binding", verbs{http.MethodPost: bindPod})
		s.route(sub, "/namespaces/{namespace}/bindings", k, "binding", verbs{http.MethodPost: bindPod})
		s.route(sub, item+"/eviction", k, "eviction", verbs{http.MethodPost: evictPod})
		s.route(sub, item+"/log", k, "log", verbs{http.MethodGet: podLog})
		for name, verb := range map[string]func(*call) error{"exec": podExec, "attach": podAttach, "portforward": podPortForward} {
			s.route(sub, item+"/"+name, k, name, verbs{http.MethodGet: verb, http.MethodPost: verb})
		}
	case "nodes":
		for _, path := range []string{item + "/proxy", item + "/proxy/{path:.*}"} {
			s.route(sub, path, k, "proxy", verbs{
				http.MethodGet: nodeProxy, http.MethodHead: nodeProxy, http.MethodPost: nodeProxy, http.MethodPut: nodeProxy,
				http.MethodPatch: nodeProxy, http.MethodDelete: nodeProxy, http.MethodOptions: nodeProxy,
			})
		}
	}
}

func (s *Server) route(sub *mux.Router, path string, k *kind.Kind, subresource string, answers verbs) {
	sub.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		vars := mux.Vars(r)
		c := &call{
			Server: s, kind: k, w: w, r: r, now: s.now(),
			namespace: vars["namespace"], name: vars["name"], subresource: subresource,
		}
		verb := answers[r.Method]
		if verb == nil && r.Method == http.MethodHead {
			verb = answers[http.MethodGet]
		}
		if verb == nil {
			s.fail(w, r, apierrors.NewMethodNotSupported(c.groupResource(), methodWord(r.Method)))
			return
		}
		if err := verb(c); err != nil {
			c.sendWarnings() // what is said not to be there may be so elsewhere
			s.fail(w, r, err)
		}
	})
}

// methodWord is what Kubernetes calls the action of a method.
func methodWord(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	}
	return "get"
}

func isWatch(r *http.Request) bool {
	switch r.URL.Query().Get("watch") {
	case "", "false", "0":
		return false
	}
	return true
}
