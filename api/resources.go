package api

import (
	"encoding/json"
	"net/http"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/wire"
)

// resource is a path that discovery speaks of.
type resource struct {
	name, singular string
	namespaced     bool
	kind           schema.GroupVersionKind // of what it answers
	verbs          []string
	shortNames     []string
	categories     []string
	subresources   []resource
}

var objectVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

func (g groupVersion) resources() []resource {
	var out []resource
	for _, k := range g.kinds {
		if k.Resource() == "pods" {
			out = append(out, resource{name: "bindings", singular: "binding", namespaced: true, kind: bindingKind, verbs: []string{"create"}})
		}
		out = append(out, resourceOf(k))
	}
	for _, m := range g.measured {
		out = append(out, resource{name: m.kind.Plural, namespaced: m.kind.Namespaced, kind: m.kind.GVK, verbs: []string{"get", "list"}})
	}
	for _, rv := range g.reviews {
		out = append(out, resource{name: rv.plural, singular: singularOf(rv), kind: rv.gvk, verbs: []string{"create"}})
	}
	return out
}

func singularOf(rv review) string { return rv.plural[:len(rv.plural)-1] }

func resourceOf(k *kind.Kind) resource {
	out := resource{
		name: k.Plural, singular: k.Singular, namespaced: k.Namespaced, kind: k.GVK,
		verbs: objectVerbs, shortNames: k.ShortNames, categories: k.Categories,
	}
	add := func(name string, gvk schema.GroupVersionKind, verbs ...string) {
		out.subresources = append(out.subresources, resource{name: name, namespaced: k.Namespaced, kind: gvk, verbs: verbs})
	}
	core := func(name string) schema.GroupVersionKind { return schema.GroupVersionKind{Version: "v1", Kind: name} }
	switch k.Resource() {
	case "namespaces":
		out.verbs = []string{"create", "delete", "get", "list", "patch", "update", "watch"}
		add("finalize", k.GVK, "update")
	case "nodes":
		add("proxy", core("NodeProxyOptions"), "create", "delete", "get", "patch", "update")
	case "pods":
		add("attach", core("PodAttachOptions"), "create", "get")
		add("binding", bindingKind, "create")
		add("ephemeralcontainers", k.GVK, "get", "patch", "update")
		add("eviction", evictionKind, "create")
		add("exec", core("PodExecOptions"), "create", "get")
		add("log", k.GVK, "get")
		add("portforward", core("PodPortForwardOptions"), "create", "get")
	}
	if k.Scale != nil {
		add("scale", scaleKind, "get", "patch", "update")
	}
	if k.HasStatus {
		add("status", k.GVK, "get", "patch", "update")
	}
	return out
}

// resourceList is the document of one group and version for older clients.
func resourceList(g groupVersion) *metav1.APIResourceList {
	out := &metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: g.String(),
		APIResources: []metav1.APIResource{},
	}
	for _, r := range g.resources() {
		out.APIResources = append(out.APIResources, apiResource(g, "", r))
		for _, sub := range r.subresources {
			out.APIResources = append(out.APIResources, apiResource(g, r.name+"/", sub))
		}
	}
	return out
}

func apiResource(g groupVersion, prefix string, r resource) metav1.APIResource {
	out := metav1.APIResource{
		Name: prefix + r.name, SingularName: r.singular, Namespaced: r.namespaced, Kind: r.kind.Kind,
		Verbs: r.verbs, ShortNames: r.shortNames, Categories: r.categories,
	}
	if r.kind.GroupVersion() != g.GroupVersion {
		out.Group, out.Version = r.kind.Group, r.kind.Version
	}
	return out
}

// groupList names the groups but the core one.
func groupList(all []groupVersion) *metav1.APIGroupList {
	out := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range all {
		if g.Group == "" {
			continue
		}
		version := metav1.GroupVersionForDiscovery{GroupVersion: g.String(), Version: g.Version}
		if last := len(out.Groups) - 1; last >= 0 && out.Groups[last].Name == g.Group {
			out.Groups[last].Versions = append(out.Groups[last].Versions, version)
			continue
		}
		out.Groups = append(out.Groups, metav1.APIGroup{
			Name: g.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
		})
	}
	return out
}

// aggregated is all of the core group, or of the others, in one document.
func aggregated(all []groupVersion, core bool) *apidiscoveryv2.APIGroupDiscoveryList {
	out := &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: apidiscoveryv2.SchemeGroupVersion.String()},
		Items:    []apidiscoveryv2.APIGroupDiscovery{},
	}
	for _, g := range all {
		if (g.Group == "") != core {
			continue
		}
		version := apidiscoveryv2.APIVersionDiscovery{Version: g.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
		for _, r := range g.resources() {
			version.Resources = append(version.Resources, resourceDiscovery(r))
		}
		if last := len(out.Items) - 1; last >= 0 && out.Items[last].Name == g.Group {
			out.Items[last].Versions = append(out.Items[last].Versions, version)
			continue
		}
		out.Items = append(out.Items, apidiscoveryv2.APIGroupDiscovery{
			ObjectMeta: metav1.ObjectMeta{Name: g.Group}, Versions: []apidiscoveryv2.APIVersionDiscovery{version},
		})
	}
	return out
}

func resourceDiscovery(r resource) apidiscoveryv2.APIResourceDiscovery {
	out := apidiscoveryv2.APIResourceDiscovery{
		Resource: r.name, SingularResource: r.singular, Scope: apidiscoveryv2.ScopeCluster,
		ResponseKind: responseKind(r), Verbs: r.verbs, ShortNames: r.shortNames, Categories: r.categories,
	}
	if r.namespaced {
		out.Scope = apidiscoveryv2.ScopeNamespace
	}
	for _, sub := range r.subresources {
		out.Subresources = append(out.Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource: sub.name, ResponseKind: responseKind(sub), Verbs: sub.verbs,
		})
	}
	return out
}

func responseKind(r resource) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: r.kind.Group, Version: r.kind.Version, Kind: r.kind.Kind}
}

func writeJSON(w http.ResponseWriter, r *http.Request, doc any) {
	body, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		write(w, r, http.StatusInternalServerError, wire.JSON, statusOf(err))
		return
	}
	writeBytes(w, r, http.StatusOK, wire.JSON, body)
}
