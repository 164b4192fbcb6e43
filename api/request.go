package api

import (
	"net/http"
	"slices"
	"strings"
)

// request is what a request is about, as its method and path say before it is routed.
type request struct {
	verb        string // "list", "deletecollection", or the method in small letters where the path names no resource
	group       string
	version     string
	namespace   string
	resource    string // plural; "" where the path names none
	name        string
	subresource string
}

// describe reads a request's method and path.
func describe(r *http.Request) request {
	out := request{verb: strings.ToLower(r.Method)}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		out.version, parts = parts[1], parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		out.group, out.version, parts = parts[1], parts[2], parts[3:]
	default:
		return out
	}
	if parts[0] == "namespaces" && len(parts) > 1 {
		out.namespace = parts[1]
		if len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
			parts = parts[2:]
		}
	}
	part := func(i int) string {
		if i < len(parts) {
			return parts[i]
		}
		return ""
	}
	out.resource, out.name, out.subresource = part(0), part(1), part(2)
	out.verb = resourceVerb(r, out.name != "")
	return out
}

// resourceVerb is the API's word for a method.
func resourceVerb(r *http.Request, named bool) string {
	switch r.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "deletecollection"
	case http.MethodGet, http.MethodHead:
		if named {
			return "get"
		}
		if isWatch(r) {
			return "watch"
		}
		return "list"
	}
	return strings.ToLower(r.Method)
}

// longRunning reports that a request goes on for as long as its client likes.
func (q request) longRunning() bool {
	return q.verb == "watch" || q.resource != "" && slices.Contains([]string{"log", "exec", "attach", "portforward", "proxy"}, q.subresource)
}
