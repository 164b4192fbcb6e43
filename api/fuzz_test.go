package api_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"covey.dev/covey/api"
	"covey.dev/covey/api/kind"
)

// The fuzz targets send what nobody would write to a server, and want an answer that blames the request: a panic in it is
// answered with 500. make fuzz looks for more; go test asks again what was found before (testdata/fuzz).

// fuzzed is a server whose panics are seen.
func fuzzed(f *testing.F) *server {
	return start(f, func(c *api.Config) {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	})
}

// ask sends a request and fails the test for an answer that blames the server.
func (s *server) ask(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	here := *s
	here.TB = t
	a := here.do(method, path, body, headers...)
	if a.code >= http.StatusInternalServerError {
		t.Fatalf("%s %s: %d: %s\nbody: %q", method, path, a.code, a.body, body)
	}
	return a
}

var fuzzMedia = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}

const fuzzPod = `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i:1","env":[{"name":"A","value":"b"}]}]}}`

// collection is the path of a kind's objects.
func collection(k *kind.Kind) string {
	path := "/api/" + k.GVK.Version
	if k.GVK.Group != "" {
		path = "/apis/" + k.GVK.Group + "/" + k.GVK.Version
	}
	if k.Namespaced {
		path += "/namespaces/default"
	}
	return path + "/" + k.Plural
}

// randomObjects are some of each kind with every field filled in at random, encoded in each format.
func randomObjects(f *testing.F, each int, use func(kind, media uint8, body []byte)) {
	f.Helper()
	scheme := kind.Scheme()
	codecs := serializer.NewCodecFactory(scheme)
	fill := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs), rand.NewSource(1), codecs).NumElements(1, 2).MaxDepth(12)
	proto := protobuf.NewSerializer(scheme, scheme)
	for i, k := range kind.All() {
		for range each {
			obj := k.New()
			fill.Fill(obj)
			obj.GetObjectKind().SetGroupVersionKind(k.GVK)
			obj.SetName("random")
			obj.SetManagedFields(nil)
			text, err := json.Marshal(obj)
			if err != nil {
				f.Fatal(err)
			}
			var binary bytes.Buffer
			if err := proto.Encode(obj.(runtime.Object), &binary); err != nil {
				f.Fatal(err)
			}
			use(uint8(i), 0, text)
			use(uint8(i), 2, binary.Bytes())
		}
	}
}

// FuzzManifest creates objects of every kind from anything.
func FuzzManifest(f *testing.F) {
	s := fuzzed(f)
	randomObjects(f, 2, func(kind, media uint8, body []byte) { f.Add(kind, media, body) })
	for _, seed := range []string{
		"metadata: {name: a, labels: {a: b}}\n", manifest("web"), fuzzPod, `{"metadata":{"generateName":"x-"}}`,
		"metadata: &a {name: x, annotations: {a: *a}}", "a: &a [x]\nb: &b [*a,*a]\nc: [*b,*b]",
		`{"metadata":{"name":"a","name":"b"},"spec":null,"data":{"x":1e400}}`, `[[[[[[[[`, "\x00\x01", "k8s\x00\xff\xff",
		`{"metadata":{"name":"m","managedFields":[{"manager":"a","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:x":{"k:{\"a\":1}":{}}}}]}}`,
	} {
		for k := range kind.All() {
			f.Add(uint8(k), uint8(k%2), []byte(seed))
		}
	}
	kinds := kind.All()
	f.Fuzz(func(t *testing.T, n, media uint8, body []byte) {
		k := kinds[int(n)%len(kinds)]
		query := "?dryRun=All&fieldValidation=" + []string{"Ignore", "Warn", "Strict"}[int(n)/len(kinds)%3]
		a := s.ask(t, "POST", collection(k)+query, string(body), "Content-Type: "+fuzzMedia[int(media)%len(fuzzMedia)])
		if a.code != http.StatusCreated || k.Plural == "events" {
			return
		}
		// What the server made of it is an object that it takes.
		var made map[string]any
		if err := json.Unmarshal(a.body, &made); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		metadata := made["metadata"].(map[string]any)
		for _, given := range []string{"uid", "resourceVersion", "managedFields"} {
			delete(metadata, given)
		}
		again, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		if b := s.ask(t, "POST", collection(k)+"?dryRun=All", string(again), "Content-Type: application/json"); b.code != http.StatusCreated {
			t.Errorf("a %s that was answered is refused: %d %s\nit is %s\nof %q", k.GVK.Kind, b.code, b.body, again, body)
		}
	})
}

var fuzzPatches = []string{
	"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
}

// FuzzPatch patches an object of a few kinds with anything.
func FuzzPatch(f *testing.F) {
	s := fuzzed(f)
	s.must(http.StatusCreated, "POST", deployments, manifest("web"), "Content-Type: application/json")
	s.must(http.StatusCreated, "POST", pods, fuzzPod, "Content-Type: application/json")
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"c"},"data":{"a":"b"},"binaryData":{"x":"AAEC"}}`, "Content-Type: application/json")
	paths := []string{
		"/apis/apps/v1/namespaces/default/deployments/web", "/api/v1/namespaces/default/pods/p", configMaps + "/c",
		"/apis/apps/v1/namespaces/default/deployments/web/status", "/apis/apps/v1/namespaces/default/deployments/web/scale",
		"/api/v1/namespaces/default/pods/p/status", "/api/v1/namespaces/default",
	}
	for _, seed := range []string{
		`[{"op":"replace","path":"/spec/replicas","value":3}]`, `[{"op":"test","path":"/a"},{"op":"move","from":"/spec","path":"/spec/x"}]`,
		`[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"b"}},{"op":"copy","from":"/metadata","path":"/metadata/labels/a"}]`,
		`[{"op":"remove","path":""},{"op":"add","path":"/data/~0~1","value":null}]`, `[null]`, `null`, `[]`, `{}`,
		`{"spec":{"replicas":null,"template":{"spec":{"containers":[{"name":"c","image":"x"},{"$patch":"delete","name":"d"}]}}}}`,
		`{"spec":{"containers":[{"$patch":"replace"}],"$setElementOrder/containers":[{"name":"c"}]}}`,
		`{"spec":{"$retainKeys":["a"],"volumes":null,"$deleteFromPrimitiveList/x":[1]},"$patch":"merge"}`,
		`{"metadata":{"labels":{"a":null},"finalizers":["x/y"],"$deleteFromPrimitiveList/finalizers":["z"]}}`,
		`{"metadata":{"managedFields":[{"fieldsV1":{"f:a":{"v:\"\"":{},"i:1":{}}}}]}}`,
		"apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}}\n",
		"apiVersion: v1\nkind: ConfigMap\ndata: {a: b, c: 1}\n", "apiVersion: v1\nkind: Pod\nspec: {containers: [{}]}\n",
	} {
		for path := range paths {
			for typ := range fuzzPatches {
				f.Add(uint8(path), uint8(typ), []byte(seed))
			}
		}
	}
	f.Fuzz(func(t *testing.T, path, typ uint8, body []byte) {
		where := paths[int(path)%len(paths)] + "?dryRun=All&force=true&fieldManager=f"
		contentType := fuzzPatches[int(typ)%len(fuzzPatches)]
		if contentType != "application/apply-patch+yaml" {
			where = strings.Replace(where, "&force=true", "", 1)
		}
		s.ask(t, "PATCH", where, string(body), "Content-Type: "+contentType)
	})
}

// FuzzSelector lists with any selectors, limits and continue tokens. What is given is what the label selector selects.
func FuzzSelector(f *testing.F) {
	s := fuzzed(f)
	sets := map[string]labels.Set{"one": {"app": "web", "tier": "front"}, "two": {"app": "web", "n": "5"}, "three": {}}
	for name, set := range sets {
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"name": name, "labels": set}})
		if err != nil {
			f.Fatal(err)
		}
		s.must(http.StatusCreated, "POST", configMaps, string(body), "Content-Type: application/json")
	}
	page := s.must(http.StatusOK, "GET", configMaps+"?limit=1", "")
	token := page["metadata"].(map[string]any)["continue"].(string)
	for _, seed := range [][4]string{
		{"app=web", "", "", ""}, {"app in (web, x),tier notin (back)", "metadata.name!=one", "1", ""}, {"!n,app", "metadata.name=one", "", ""},
		{"n>3,n<9", "", "2", ""}, {"app==", "metadata.namespace=default", "-1", "x"}, {"a in (", "spec.nodeName=x", "1e9", ""}, {"", "", "1", token},
		{"", "a=b\\,c\\=d", "99999999999999999999", "e30"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, byLabel, byField, limit, next string) {
		query := url.Values{"labelSelector": {byLabel}, "fieldSelector": {byField}, "limit": {limit}, "continue": {next}}
		a := s.ask(t, "GET", configMaps+"?"+query.Encode(), "")
		if a.code != http.StatusOK || byField != "" || limit != "" || next != "" {
			return
		}
		var list metav1.PartialObjectMetadataList
		if err := json.Unmarshal(a.body, &list); err != nil {
			t.Fatal(err)
		}
		selector, err := labels.Parse(byLabel)
		if err != nil {
			t.Fatalf("selector %q was taken: %v", byLabel, err)
		}
		want := 0
		for _, set := range sets {
			if selector.Matches(set) {
				want++
			}
		}
		if len(list.Items) != want {
			t.Errorf("selector %q gives %d objects, want %d", byLabel, len(list.Items), want)
		}
	})
}

// FuzzManagedFields has clients tell who owns which field in any words.
func FuzzManagedFields(f *testing.F) {
	s := fuzzed(f)
	s.must(http.StatusCreated, "POST", deployments, manifest("web"), "Content-Type: application/json")
	for _, seed := range []string{
		`{"f:spec":{"f:replicas":{}}}`, `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}}}}}}`,
		`{"k:{":{}}`, `{"v:\"x\"":{},"i:-1":{}}`, `{"i:99999999999999999999":{}}`, `{"f:a":null}`, `{}`, `[]`, `null`, `{"x":{}}`, `{".":{}}`,
	} {
		f.Add("kubectl", "Update", "apps/v1", "", seed)
		f.Add("x", "Apply", "apps/v1", "status", seed)
	}
	f.Fuzz(func(t *testing.T, manager, operation, version, subresource, fieldsV1 string) {
		entry := map[string]any{
			"manager": manager, "operation": operation, "apiVersion": version, "subresource": subresource,
			"fieldsType": "FieldsV1", "fieldsV1": json.RawMessage(fieldsV1), "time": "2024-01-01T00:00:00Z",
		}
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"managedFields": []any{entry}}})
		if err != nil {
			return // fieldsV1 is not JSON
		}
		s.ask(t, "PATCH", "/apis/apps/v1/namespaces/default/deployments/web?dryRun=All", string(body), "Content-Type: application/merge-patch+json")
	})
}
