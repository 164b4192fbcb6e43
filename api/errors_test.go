package api_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"covey.dev/covey/api"
)

func TestBadRequests(t *testing.T) {
	s := start(t)
	bomb := "apiVersion: v1\nkind: ConfigMap\na0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for _, c := range "123456789" {
		prev := string(c - 1)
		bomb += "a" + string(c) + ": &a" + string(c) + " [" + strings.Repeat("*a"+prev+",", 8) + "*a" + prev + "]\n"
	}
	yaml := "Content-Type: application/yaml"
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		code                     int
		message                  string
	}{
		{"no such kind", "GET", "/api/v1/namespaces/default/widgets", "", nil, 404, "the server could not find the requested resource"},
		{"no such group", "GET", "/apis/x.example/v1", "", nil, 404, "the server could not find the requested resource"},
		{"no such path", "GET", "/nothing", "", nil, 404, "the server could not find the requested resource"},
		{"method", "PUT", configMaps, "", nil, 405, `update is not supported on resources of kind "configmaps"`},
		{"kind in body", "POST", configMaps, `{"apiVersion":"v1","kind":"Pod"}`, nil, 400, `Pod in version "v1" cannot be handled as a ConfigMap`},
		{"version in body", "POST", configMaps, `{"apiVersion":"v2","kind":"ConfigMap"}`, nil, 400, "the API version in the data (v2) does not match the expected API version (v1)"},
		{"not JSON", "POST", configMaps, `{`, nil, 400, "the object provided is unrecognized"},
		{"wrong type", "POST", deployments, strings.Replace(manifest("d"), `"replicas":1`, `"replicas":"1"`, 1), nil, 400,
			`Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`},
		{"invalid", "POST", deployments, strings.Replace(manifest("d"), `"replicas":1`, `"replicas":-1`, 1), nil, 422,
			`Deployment.apps "d" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0`},
		{"namespace in body", "POST", configMaps, `{"metadata":{"name":"a","namespace":"b"}}`, nil, 400,
			"the namespace of the provided object does not match the namespace sent on the request"},
		{"revision in body", "POST", configMaps, `{"metadata":{"name":"a","resourceVersion":"1"}}`, nil, 400, "resourceVersion should not be set on objects to be created"},
		{"name in body", "PUT", "/api/v1/namespaces/default", `{"metadata":{"name":"b"}}`, nil, 400, "the name of the object (b) does not match the name on the URL (default)"},
		{"too large", "POST", configMaps, `{"metadata":{"name":"a"},"data":{"k":"` + strings.Repeat("x", 4<<20) + `"}}`, nil, 413, "Request entity too large: limit is 3145728"},
		{"too deep", "POST", configMaps, strings.Repeat(`{"a":`, 20_000) + strings.Repeat("}", 20_000), nil, 400, "exceeded max depth"},
		{"billion laughs", "POST", configMaps, bomb, []string{yaml}, 400, "excessive aliasing"},
		{"media type", "POST", configMaps, "x", []string{"Content-Type: text/plain"}, 415, "accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"protobuf", "POST", configMaps, "x", []string{"Content-Type: application/vnd.kubernetes.protobuf"}, 400, "not a Kubernetes protobuf document"},
		{"accept", "GET", configMaps, "", []string{"Accept: text/html"}, 406, "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"options", "POST", configMaps + "?dryRun=Some", `{}`, nil, 422, "dryRun: Unsupported value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := *s
			sub.TB = t
			status := sub.must(c.code, c.method, c.path, c.body, c.headers...)
			if message, _ := at(status, "message").(string); !strings.Contains(message, c.message) {
				t.Errorf("%q, want it to say %q", message, c.message)
			}
			sub.expect(status, "Status", "kind")
			sub.expect(status, "Failure", "status")
			sub.expect(status, c.code, "code")
		})
	}
	// Nothing was written before the answer turned out to be one that the client cannot read.
	s.must(http.StatusNotAcceptable, "POST", configMaps, `{"metadata":{"name":"a"}}`, "Accept: text/html")
	s.must(http.StatusNotFound, "GET", configMaps+"/a", "")
}

func TestWhoMayDoWhat(t *testing.T) {
	var user api.User
	known := true
	s := start(t, func(c *api.Config) {
		user = api.User{Name: "root", Groups: []string{"system:masters"}}
		c.Authenticate = func(*http.Request) (api.User, bool) { return user, known }
	})
	user = api.User{Name: "system:node:n1", Groups: []string{"system:nodes", "covey:servers"}}
	s.must(http.StatusOK, "GET", configMaps, "")
	user = api.User{Name: "system:node:w1", Groups: []string{"system:nodes", "covey:workers"}}
	s.must(http.StatusForbidden, "GET", configMaps, "")
	user = api.User{Name: "bob"}
	s.expect(s.must(http.StatusForbidden, "GET", configMaps, ""), `forbidden: User "bob" cannot get path "/api/v1/namespaces/default/configmaps"`, "message")
	known = false
	out := s.must(http.StatusUnauthorized, "GET", configMaps, "")
	s.expect(out, "Unauthorized", "message")
	s.expect(out, "Unauthorized", "reason")
	s.must(http.StatusUnauthorized, "GET", "/versions", "")
	for _, path := range []string{"/version", "/livez", "/readyz", "/healthz"} {
		if a := s.do("GET", path, ""); a.code != http.StatusOK {
			t.Errorf("%s: %d", path, a.code)
		}
	}
}

func TestReadiness(t *testing.T) {
	var missing error
	s := start(t, func(c *api.Config) { c.Ready = func() error { return missing } })
	if a := s.do("GET", "/readyz", ""); a.code != http.StatusOK || string(a.body) != "ok" {
		t.Errorf("%d %s", a.code, a.body)
	}
	missing = errors.New("no leader")
	if a := s.do("GET", "/readyz", ""); a.code != http.StatusInternalServerError || !strings.Contains(string(a.body), "no leader") {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := s.do("GET", "/livez", ""); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	s := start(t, func(c *api.Config) { c.Nodes = panicking{} })
	s.must(http.StatusCreated, "POST", pods, podOn("n1"))
	s.expect(s.must(http.StatusInternalServerError, "GET", pods+"/p/log?container=a", ""), "InternalError", "reason")
	s.must(http.StatusOK, "GET", pods+"/p", "")
}

type panicking struct{}

func (panicking) Handler(string) (http.Handler, error) { panic("oops") }
