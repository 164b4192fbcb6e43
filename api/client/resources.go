package client

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	discovery "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// Resource is one kind of object as the server serves it.
type Resource struct {
	schema.GroupVersionKind
	Plural, Singular string
	ShortNames       []string
	Categories       []string
	Verbs            []string
	Namespaced       bool
}

// GroupResource is its name in messages: "deployments.apps".
func (r *Resource) GroupResource() string {
	return schema.GroupResource{Group: r.Group, Resource: r.Plural}.String()
}

// Object names one object in messages: "deployment.apps/hello".
func (r *Resource) Object(name string) string {
	return schema.GroupResource{Group: r.Group, Resource: strings.ToLower(r.Kind)}.String() + "/" + name
}

// Path is where the resource, an object of it or a subresource of that is served. The namespace counts only where the
// resource has one; "" then means all.
func (r *Resource) Path(namespace string, below ...string) string {
	root := "/api/" + r.Version
	if r.Group != "" {
		root = "/apis/" + r.Group + "/" + r.Version
	}
	if r.Namespaced && namespace != "" {
		root += "/namespaces/" + namespace
	}
	return path.Join(append([]string{root, r.Plural}, below...)...)
}

// Resources are all that the server serves, in its order.
type Resources []*Resource

// Resources asks the server what it serves.
func (c *Client) Resources(ctx context.Context) (Resources, error) {
	var all Resources
	for _, p := range []string{"/api", "/apis"} {
		var list discovery.APIGroupDiscoveryList
		_, body, err := c.Do(ctx, Request{Path: p, Accept: aggregated})
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, fmt.Errorf("decode what the server serves: %w", err)
		}
		if list.Kind != "APIGroupDiscoveryList" {
			return nil, fmt.Errorf("the server at %s does not tell what it serves in one document (aggregated discovery, Kubernetes 1.30 and later)", c.Server())
		}
		all = append(all, flatten(&list)...)
	}
	return all, nil
}

func flatten(list *discovery.APIGroupDiscoveryList) Resources {
	var all Resources
	for _, group := range list.Items {
		for _, version := range group.Versions {
			for _, r := range version.Resources {
				gvk := schema.GroupVersionKind{Group: group.Name, Version: version.Version}
				if r.ResponseKind != nil {
					gvk.Kind = r.ResponseKind.Kind
				}
				all = append(all, &Resource{
					GroupVersionKind: gvk, Plural: r.Resource, Singular: r.SingularResource, ShortNames: r.ShortNames,
					Categories: r.Categories, Verbs: r.Verbs, Namespaced: r.Scope == discovery.ScopeNamespace,
				})
			}
		}
	}
	return all
}

// UnknownError says that the server serves no such thing.
type UnknownError struct{ text string }

func (e *UnknownError) Error() string { return e.text }

// ForKind finds the resource of an object that says its kind.
func (rs Resources) ForKind(gvk schema.GroupVersionKind) (*Resource, error) {
	for _, r := range rs {
		if r.GroupVersionKind == gvk {
			return r, nil
		}
	}
	return nil, &UnknownError{fmt.Sprintf("no matches for kind %q in version %q", gvk.Kind, gvk.GroupVersion())}
}

// Lookup finds a resource by what a user may call it: plural, singular, short name or kind in any case, also with its
// group or version and group ("deployments.apps", "deployments.v1.apps").
func (rs Resources) Lookup(name string) (*Resource, error) {
	base, rest, _ := strings.Cut(strings.ToLower(name), ".")
	for _, r := range rs {
		if r.isCalled(base) && (rest == "" || rest == r.Group || rest == strings.TrimSuffix(r.Version+"."+r.Group, ".")) {
			return r, nil
		}
	}
	return nil, &UnknownError{fmt.Sprintf("the server doesn't have a resource type %q", name)}
}

// LookupAll is Lookup for a list separated by commas, in which a category such as "all" stands for its members.
func (rs Resources) LookupAll(names string) (Resources, error) {
	var found Resources
	for name := range strings.SplitSeq(names, ",") {
		members := rs.in(name)
		if len(members) == 0 {
			r, err := rs.Lookup(name)
			if err != nil {
				return nil, err
			}
			members = Resources{r}
		}
		for _, r := range members {
			if !slices.Contains(found, r) {
				found = append(found, r)
			}
		}
	}
	return found, nil
}

func (rs Resources) in(category string) Resources {
	var members Resources
	for _, r := range rs {
		if slices.Contains(r.Categories, category) && slices.Contains(r.Verbs, "list") {
			members = append(members, r)
		}
	}
	return members
}

func (r *Resource) isCalled(name string) bool {
	return name == r.Plural || name == r.Singular || name == strings.ToLower(r.Kind) || slices.Contains(r.ShortNames, name)
}
