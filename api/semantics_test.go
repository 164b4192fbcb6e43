package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// A list may name its revision: not older than it, exactly it, or, for pages, it.
func TestRevisionsOfLists(t *testing.T) {
	s := start(t)
	var revisions []string
	for i := range 3 {
		made := s.must(http.StatusCreated, "POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"a%d"}}`, i))
		revisions = append(revisions, at(made, "metadata", "resourceVersion").(string))
	}
	first := "resourceVersion=" + revisions[0]
	for query, want := range map[string]int{
		"": 3, "resourceVersion=0": 3, first: 3, first + "&resourceVersionMatch=NotOlderThan": 3,
		first + "&resourceVersionMatch=Exact":                             1,
		first + "&limit=5":                                                1,
		first + "&limit=-1":                                               3,
		first + "&limit=5&resourceVersionMatch=NotOlderThan":              3,
		"resourceVersion=" + revisions[1] + "&resourceVersionMatch=Exact": 2,
		"resourceVersion=0&limit=2":                                       2,
		"limit=-3":                                                        3,
		"limit=0":                                                         3,
	} {
		out := s.must(http.StatusOK, "GET", configMaps+"?"+query, "")
		if items := at(out, "items").([]any); len(items) != want {
			t.Errorf("%q: %d objects, want %d", query, len(items), want)
		}
	}
	for query, want := range map[string]string{
		"resourceVersionMatch=Exact":                                 "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
		"resourceVersion=0&resourceVersionMatch=Exact":               `resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"`,
		"resourceVersion=1&resourceVersionMatch=Newest":              "resourceVersionMatch: Unsupported value",
		"sendInitialEvents=true&watch=1":                             "sendInitialEvents",
		"resourceVersion=1&resourceVersionMatch=Exact&continue=abcd": "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
	} {
		out := s.must(http.StatusUnprocessableEntity, "GET", configMaps+"?"+query, "")
		if message := fmt.Sprint(at(out, "message")); !strings.Contains(message, want) {
			t.Errorf("%s: %s, want %s", query, message, want)
		}
	}
	late := s.must(http.StatusGatewayTimeout, "GET", configMaps+"?resourceVersion=99999&resourceVersionMatch=Exact", "")
	s.expect(late, "ResourceVersionTooLarge", "details", "causes", 0, "reason")
}

// A dry run of any verb answers as the verb does, and changes nothing.
func TestDryRunOfEveryVerb(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", deployments, manifest("d"))
	s.must(http.StatusCreated, "POST", pods, podOn(""))
	before := s.store.Snapshot().Revision()
	const strategic, jsonPatch, apply = "Content-Type: application/strategic-merge-patch+json", "Content-Type: application/json-patch+json", "Content-Type: application/apply-patch+yaml"
	for _, c := range []struct {
		code               int
		method, path, body string
		header             string
	}{
		{201, "POST", deployments + "?dryRun=All", manifest("e"), ""},
		{201, "POST", configMaps + "?dryRun=All", `{"metadata":{"generateName":"g-"}}`, ""},
		{200, "PUT", deployments + "/d?dryRun=All", strings.Replace(manifest("d"), `"replicas":1`, `"replicas":4`, 1), ""},
		{200, "PATCH", deployments + "/d?dryRun=All", `{"spec":{"replicas":4}}`, merge},
		{200, "PATCH", deployments + "/d?dryRun=All", `{"spec":{"replicas":4}}`, strategic},
		{200, "PATCH", deployments + "/d?dryRun=All", `[{"op":"replace","path":"/spec/replicas","value":4}]`, jsonPatch},
		{200, "PATCH", deployments + "/d?dryRun=All&fieldManager=m&force=true", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":4}}`, apply},
		{201, "PATCH", configMaps + "/new?dryRun=All&fieldManager=m", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"}}`, apply},
		{200, "PATCH", deployments + "/d/scale?dryRun=All", `{"spec":{"replicas":4}}`, merge},
		{200, "PATCH", deployments + "/d/status?dryRun=All", `{"status":{"replicas":4}}`, merge},
		{200, "DELETE", deployments + "/d?dryRun=All", "", ""},
		{200, "DELETE", deployments + "/d", `{"dryRun":["All"]}`, ""},
		{202, "DELETE", deployments + "/d?dryRun=All&propagationPolicy=Foreground", "", ""},
		{200, "DELETE", deployments + "?dryRun=All", "", ""},
		{200, "DELETE", pods, `{"dryRun":["All"]}`, ""},
		{201, "POST", pods + "/p/binding?dryRun=All", `{"metadata":{"name":"p"},"target":{"name":"n1"}}`, ""},
		{201, "POST", pods + "/p/eviction?dryRun=All", eviction, ""},
		{200, "DELETE", "/api/v1/namespaces/default?dryRun=All", "", ""},
		{422, "DELETE", deployments + "/d?dryRun=Some", "", ""},
	} {
		var headers []string
		if c.header != "" {
			headers = append(headers, c.header)
		}
		want := c.code
		if strings.Contains(c.path, "namespaces/default?") {
			want = http.StatusForbidden // which is found out before
		}
		if a := s.do(c.method, c.path, c.body, headers...); a.code != want {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.path, c.header, a.code, a.body, want)
		}
		if now := s.store.Snapshot().Revision(); now != before {
			t.Fatalf("%s %s %s wrote", c.method, c.path, c.header)
		}
	}
}

// deletecollection takes selectors, limits and preconditions.
func TestDeleteCollectionInParts(t *testing.T) {
	s := start(t)
	for i := range 5 {
		s.must(http.StatusCreated, "POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"a%d"}}`, i))
	}
	s.must(http.StatusConflict, "DELETE", configMaps, `{"preconditions":{"uid":"x"}}`)
	out := s.must(http.StatusOK, "DELETE", configMaps+"?fieldSelector=metadata.name%3Da3", "")
	s.expect(out, "a3", "items", 0, "metadata", "name")
	out = s.must(http.StatusOK, "DELETE", configMaps+"?limit=2", "")
	s.expect(out, 2, "metadata", "remainingItemCount")
	s.expect(out, "a1", "items", 1, "metadata", "name")
	out = s.must(http.StatusOK, "DELETE", configMaps+"?limit=5&continue="+url.QueryEscape(at(out, "metadata", "continue").(string)), "")
	s.expect(out, "a2", "items", 0, "metadata", "name")
	s.expect(out, "a4", "items", 1, "metadata", "name")
	s.expect(out, nil, "metadata", "continue")
	s.expect(s.must(http.StatusOK, "GET", configMaps, ""), "[]", "items")
}

func TestQuestionsThatDontHold(t *testing.T) {
	s := start(t)
	const reviews = "/apis/authorization.k8s.io/v1"
	s.must(http.StatusUnprocessableEntity, "POST", reviews+"/selfsubjectaccessreviews", `{"spec":{}}`)
	s.must(http.StatusUnprocessableEntity, "POST", reviews+"/selfsubjectaccessreviews",
		`{"spec":{"resourceAttributes":{"verb":"get"},"nonResourceAttributes":{"verb":"get","path":"/"}}}`)
	s.must(http.StatusBadRequest, "POST", reviews+"/selfsubjectrulesreviews", `{"spec":{}}`)
	out := s.must(http.StatusCreated, "POST", reviews+"/selfsubjectrulesreviews", `{"spec":{"namespace":"default"}}`)
	s.expect(out, "*", "status", "resourceRules", 0, "verbs", 0)
}

func TestHealthInParts(t *testing.T) {
	s := start(t)
	for path, want := range map[string]string{
		"/livez": "ok", "/livez/ping": "ok", "/readyz/ping": "ok", "/readyz/node": "ok", "/healthz/ping": "ok",
		"/readyz?verbose": "[+]ping ok\n[+]node ok\nreadyz check passed\n",
		"/livez?verbose":  "[+]ping ok\n[+]node ok\nlivez check passed\n",
	} {
		if a := s.do("GET", path, ""); a.code != http.StatusOK || string(a.body) != want {
			t.Errorf("%s: %d %q, want %q", path, a.code, a.body, want)
		}
	}
}

// HEAD answers as GET does, without the body; methods that a path has not are refused by name.
func TestMethods(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a"}}`)
	if a := s.do("HEAD", configMaps+"/a", ""); a.code != http.StatusOK || len(a.body) != 0 || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %d %q %v", a.code, a.body, a.header)
	}
	if a := s.do("HEAD", configMaps+"/none", ""); a.code != http.StatusNotFound {
		t.Errorf("HEAD of what is not there: %d", a.code)
	}
	for _, c := range [][2]string{{"OPTIONS", configMaps}, {"POST", configMaps + "/a"}, {"PUT", configMaps}, {"DELETE", configMaps + "/a/status"}, {"GET", pods + "/p/eviction"}} {
		if a := s.do(c[0], c[1], "{}"); a.code != http.StatusMethodNotAllowed && a.code != http.StatusNotFound {
			t.Errorf("%s %s: %d %s", c[0], c[1], a.code, a.body)
		}
	}
}

// An applied object that names a life that is over is not made anew.
func TestApplyToALifeThatIsOver(t *testing.T) {
	s := start(t)
	out := s.must(http.StatusConflict, "PATCH", configMaps+"/a?fieldManager=m", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","uid":"x"}}`,
		"Content-Type: application/apply-patch+yaml")
	s.expect(out, `Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid x, and no existing object was found`, "message")
}

// The other clients of client-go find what they look for.
func TestDynamicMetadataAndApplyClients(t *testing.T) {
	s := start(t)
	cfg := &rest.Config{Host: s.url, UserAgent: "tester/1", QPS: -1}
	clients := s.client(true)
	d := appsac.Deployment("d", "default").WithSpec(appsac.DeploymentSpec().WithReplicas(2))
	if _, err := clients.AppsV1().Deployments("default").Create(t.Context(), deployment("d"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := clients.AppsV1().Deployments("default").Apply(t.Context(), d, metav1.ApplyOptions{FieldManager: "other"})
	if !apierrors.IsConflict(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) {
		t.Errorf("%v, want a conflict of managers", err)
	}
	forced, err := clients.AppsV1().Deployments("default").Apply(t.Context(), d, metav1.ApplyOptions{FieldManager: "other", Force: true})
	if err != nil || *forced.Spec.Replicas != 2 {
		t.Errorf("%v", err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	u, err := dyn.Resource(resource).Namespace("default").Get(t.Context(), "d", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas"); n != 2 {
		t.Errorf("%d replicas", n)
	}
	uid := u.GetUID()
	wrong := metav1.NewUIDPreconditions("x")
	if err := dyn.Resource(resource).Namespace("default").Delete(t.Context(), "d", metav1.DeleteOptions{Preconditions: wrong}); !apierrors.IsConflict(err) {
		t.Errorf("%v, want a conflict", err)
	}
	meta, err := metadata.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	list, err := meta.Resource(resource).Namespace("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].UID != uid {
		t.Errorf("%v, %+v", err, list)
	}
	version := u.GetResourceVersion()
	policy := metav1.DeletePropagationBackground
	if err := meta.Resource(resource).Namespace("default").Delete(t.Context(), "d", metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}, PropagationPolicy: &policy,
	}); err != nil {
		t.Error(err)
	}
}

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	one := int32(1)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &one,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			},
		},
	}
}

// Those who hold a lease race for it: who replaces one must say which version.
func TestLeasesAreReplacedByVersion(t *testing.T) {
	s := start(t)
	const leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
	made := s.must(http.StatusCreated, "POST", leases, `{"metadata":{"name":"l"},"spec":{"holderIdentity":"a"}}`)
	out := s.must(http.StatusUnprocessableEntity, "PUT", leases+"/l", `{"metadata":{"name":"l"},"spec":{"holderIdentity":"b"}}`)
	if message := fmt.Sprint(at(out, "message")); !strings.Contains(message, "metadata.resourceVersion: Invalid value: 0: must be specified for an update") {
		t.Error(message)
	}
	body := fmt.Sprintf(`{"metadata":{"name":"l","resourceVersion":"%v"},"spec":{"holderIdentity":"b"}}`, at(made, "metadata", "resourceVersion"))
	s.must(http.StatusOK, "PUT", leases+"/l", body)
	s.must(http.StatusConflict, "PUT", leases+"/l", body)
	s.must(http.StatusOK, "PATCH", leases+"/l", `{"spec":{"holderIdentity":"c"}}`, merge)
	s.must(http.StatusOK, "PATCH", leases+"/l?fieldManager=m&force=true", `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},"spec":{"holderIdentity":"d"}}`,
		"Content-Type: application/apply-patch+yaml")
}
