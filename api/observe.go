package api

import (
	"slices"
	"strings"
	"time"

	"covey.dev/covey/api/kind"
)

// Observed is a request that was answered.
type Observed struct {
	Verb                                  string // GET, LIST, WATCH, POST, PUT, PATCH, DELETE and so on
	Group, Version, Resource, Subresource string // empty for what is not a resource
	Code                                  int
	Took                                  time.Duration
	Long                                  bool // it went on for as long as the client liked
}

// observedVerbs are the words that Kubernetes' metrics have for verbs.
var observedVerbs = map[string]string{
	"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE",
	"deletecollection": "DELETECOLLECTION", "head": "HEAD", "post": "POST", "put": "PUT",
}

// observe tells of a request. What clients make up, as names of resources that there are not, is left out, so that there is an end
// to the metrics that they can make.
func (s *Server) observe(about request, rec *recorder, took time.Duration) {
	if s.cfg.Observe == nil {
		return
	}
	o := Observed{Verb: observedVerbs[strings.ToLower(about.verb)], Code: rec.code(), Took: took, Long: rec.long}
	if o.Verb == "" {
		o.Verb = "other"
	}
	if s.serves(about) {
		o.Group, o.Version, o.Resource = about.group, about.version, about.resource
		if slices.Contains(subresources, about.subresource) {
			o.Subresource = about.subresource
		}
	}
	s.cfg.Observe(o)
}

// subresources are those that any kind has.
var subresources = []string{
	"attach", "binding", "ephemeralcontainers", "eviction", "exec", "finalize", "log", "portforward", "scale", "status",
}

// serves reports whether a request is about a resource that there is.
func (s *Server) serves(about request) bool {
	for _, gv := range s.groups {
		if gv.Group != about.group || gv.Version != about.version {
			continue
		}
		return slices.ContainsFunc(gv.kinds, func(k *kind.Kind) bool { return k.Plural == about.resource }) ||
			slices.ContainsFunc(gv.measured, func(m measured) bool { return m.kind.Plural == about.resource }) ||
			slices.ContainsFunc(gv.reviews, func(rv review) bool { return rv.plural == about.resource })
	}
	return false
}
