package main

import (
	"slices"

	"covey.dev/covey/api/kind"
)

// paths are the path templates that are served, and the methods of each.
type paths map[string][]string

// served says what package api serves of these kinds; a test there holds the two together.
func served(kinds []*kind.Kind) paths {
	out := paths{
		"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": {"post"},
		"/apis/authorization.k8s.io/v1/selfsubjectrulesreviews":  {"post"},
		"/apis/authentication.k8s.io/v1/selfsubjectreviews":      {"post"},
		"/apis/authorization.k8s.io/v1/":                         {"get"},
		"/apis/authentication.k8s.io/v1/":                        {"get"},
	}
	for _, k := range kinds {
		out.add(k)
	}
	return out
}

func (p paths) add(k *kind.Kind) {
	base := "/apis/" + k.GVK.Group + "/" + k.GVK.Version
	if k.GVK.Group == "" {
		base = "/api/" + k.GVK.Version
	}
	p[base+"/"] = []string{"get"}
	scope := base + "/" + k.Plural
	if k.Namespaced {
		p[scope] = []string{"get"}
		scope = base + "/namespaces/{namespace}/" + k.Plural
	}
	item := scope + "/{name}"
	p[scope] = []string{"get", "post", "delete"}
	p[item] = []string{"get", "put", "patch", "delete"}
	if k.HasStatus {
		p[item+"/status"] = []string{"get", "put", "patch"}
	}
	if k.Scale != nil {
		p[item+"/scale"] = []string{"get", "put", "patch"}
	}
	for name := range k.Parts {
		p[item+"/"+name] = []string{"get", "put", "patch"}
	}
	switch k.Resource() {
	case "namespaces":
		p[scope] = []string{"get", "post"}
		p[item+"/finalize"] = []string{"put"}
	case "pods":
		p[item+"/log"] = []string{"get"}
		p[item+"/binding"] = []string{"post"}
		p[item+"/eviction"] = []string{"post"}
		p[base+"/namespaces/{namespace}/bindings"] = []string{"post"}
		for _, sub := range []string{"exec", "attach", "portforward"} {
			p[item+"/"+sub] = []string{"get", "post"}
		}
	case "nodes":
		p[item+"/proxy"] = proxied
		p[item+"/proxy/{path}"] = proxied
	}
}

var proxied = []string{"get", "head", "post", "put", "patch", "delete", "options"}

// keeps reports whether a key of a path item stays: what is no method, or a method that is served.
func (p paths) keeps(path, key string) bool {
	switch key {
	case "get", "head", "post", "put", "patch", "delete", "options", "trace":
		return slices.Contains(p[path], key)
	}
	return true
}
