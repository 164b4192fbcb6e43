package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/kind"
)

const aggregated = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"

func TestDiscovery(t *testing.T) {
	s := start(t)
	a := s.do("GET", "/apis", "", aggregated)
	if got := a.header.Get("Content-Type"); got != "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" {
		t.Errorf("content type %s", got)
	}
	if !slices.Contains(a.header.Values("Vary"), "Accept") || a.header.Get("ETag") == "" {
		t.Errorf("headers %v", a.header)
	}
	if again := s.do("GET", "/apis", "", aggregated, "If-None-Match: "+a.header.Get("ETag")); again.code != http.StatusNotModified {
		t.Errorf("the same document again: %d", again.code)
	}
	s.expect(s.must(http.StatusOK, "GET", "/apis/", ""), "APIGroupList", "kind")
	s.expect(s.must(http.StatusOK, "GET", "/api", ""), "v1", "versions", 0)
	s.expect(s.must(http.StatusOK, "GET", "/apis/apps", ""), "apps/v1", "preferredVersion", "groupVersion")

	// Both ways lead client-go to the same resources, every kind among them.
	for name, legacy := range map[string]bool{"aggregated": false, "legacy": true} {
		client := s.client(false).DiscoveryClient
		client.UseLegacyDiscovery = legacy
		_, lists, err := client.ServerGroupsAndResources()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, list := range lists {
			for _, r := range list.APIResources {
				found[list.GroupVersion+" "+r.Name+" "+r.Kind] = true
			}
		}
		for _, k := range kind.All() {
			if want := k.GVK.GroupVersion().String() + " " + k.Plural + " " + k.GVK.Kind; !found[want] {
				t.Errorf("%s: no %s", name, want)
			}
		}
		for _, want := range []string{"v1 pods/log Pod", "v1 pods/exec PodExecOptions", "apps/v1 deployments/scale Scale", "apps/v1 deployments/status Deployment"} {
			if !found[want] {
				t.Errorf("%s: no %s in %v", name, want, found)
			}
		}
	}
	v, err := s.client(false).ServerVersion()
	if err != nil || v.GitVersion != "v1.37.2+covey.test" {
		t.Errorf("%v, %v", v, err)
	}
}

func TestOpenAPI(t *testing.T) {
	s := start(t)
	index := s.must(http.StatusOK, "GET", "/openapi/v3", "")
	url, _ := at(index, "paths", "apis/apps/v1", "serverRelativeURL").(string)
	if !strings.HasPrefix(url, "/openapi/v3/apis/apps/v1?hash=") {
		t.Fatalf("index %v", index)
	}
	doc := s.must(http.StatusOK, "GET", url, "")
	s.expect(doc, "object", "components", "schemas", "io.k8s.api.apps.v1.Deployment", "type")
	packed := s.do("GET", url, "", "Accept-Encoding: gzip")
	if packed.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%v", packed.header)
	}
	s.expect(s.must(http.StatusOK, "GET", "/openapi/v2", ""), "2.0", "swagger")
	if _, err := s.client(false).OpenAPISchema(); err != nil { // by protobuf
		t.Error(err)
	}
}

func TestReviews(t *testing.T) {
	s := start(t)
	review, err := s.client(true).AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods"},
		}}, metav1.CreateOptions{})
	if err != nil || !review.Status.Allowed {
		t.Errorf("%v, %+v", err, review)
	}
	out := s.must(http.StatusCreated, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{}`)
	s.expect(out, "admin", "status", "userInfo", "username")
}

// What the documents promise is there: no documented path and method is unknown to the router.
func TestDocumentedPathsAreServed(t *testing.T) {
	s := start(t)
	fill := strings.NewReplacer("{namespace}", "default", "{name}", "x", "{path}", "x")
	for gv := range at(s.must(http.StatusOK, "GET", "/openapi/v3", ""), "paths").(map[string]any) {
		doc := s.must(http.StatusOK, "GET", "/openapi/v3/"+gv, "")
		for path, item := range at(doc, "paths").(map[string]any) {
			for method := range item.(map[string]any) {
				if method == "parameters" || method == "options" || method == "head" {
					continue
				}
				a := s.do(strings.ToUpper(method), strings.TrimSuffix(fill.Replace(path), "/"), "")
				if a.code == http.StatusMethodNotAllowed || strings.Contains(string(a.body), "could not find the requested resource") {
					t.Errorf("%s %s: %d", method, path, a.code)
				}
			}
		}
	}
}
