package api_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/wire"
)

// TestStoredIsAnsweredAsItIs compares what is answered without decoding the objects with what encoding them would give.
func TestStoredIsAnsweredAsItIs(t *testing.T) {
	s := start(t)
	objects := map[string]string{
		pods:        `{"metadata":{"name":"x","labels":{"b":"1","a":"2"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}`,
		deployments: manifest("x"),
		configMaps:  `{"metadata":{"name":"x"},"data":{"k":"` + strings.Repeat("v", 10000) + `"},"binaryData":{"b":"AAEC"}}`,
		"/apis/coordination.k8s.io/v1/namespaces/default/leases": `{"metadata":{"name":"x"},"spec":{"holderIdentity":"h"}}`,
		"/apis/events.k8s.io/v1/namespaces/default/events": `{"metadata":{"name":"x"},"eventTime":"2024-01-01T00:00:00.000000Z","type":"Normal","reason":"R","action":"A",
			"note":"n","reportingController":"example.com/c","reportingInstance":"i","regarding":{"kind":"Pod","name":"x","namespace":"default"}}`,
	}
	for path, body := range objects {
		s.must(http.StatusCreated, "POST", path, body)
		k := kindOf(t, path)
		s.expectEncoded(path+"/x", k.New())
		s.expectEncoded(path, k.NewList())
		s.expectEncoded(path+"?limit=1", k.NewList())
		s.expectEncoded(path+"?fieldSelector=metadata.name=none", k.NewList())
	}
}

func kindOf(t *testing.T, path string) *kind.Kind {
	for _, k := range kind.All() {
		group := "/api/v1/"
		if k.GVK.Group != "" {
			group = "/apis/" + k.GVK.GroupVersion().String() + "/"
		}
		if strings.HasPrefix(path, group) && strings.HasSuffix(path, "/"+k.Plural) {
			return k
		}
	}
	t.Fatal("no kind for " + path)
	return nil
}

func (s *server) expectEncoded(path string, into runtime.Object) {
	s.Helper()
	got := s.do("GET", path, "", "Accept: "+wire.Protobuf)
	if got.code != http.StatusOK || got.header.Get("Content-Type") != wire.Protobuf {
		s.Fatalf("%s: %d %s %q", path, got.code, got.header.Get("Content-Type"), got.body)
	}
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(got.body[4:]); err != nil {
		s.Fatal(err)
	}
	if err := into.(interface{ Unmarshal([]byte) error }).Unmarshal(envelope.Raw); err != nil {
		s.Fatal(err)
	}
	into.GetObjectKind().SetGroupVersionKind(envelope.GroupVersionKind())
	var want bytes.Buffer
	if err := wire.Encode(&want, wire.Protobuf, into); err != nil {
		s.Fatal(err)
	}
	if !bytes.Equal(got.body, want.Bytes()) {
		s.Errorf("%s:\n%q\nwant\n%q", path, got.body, want.Bytes())
	}
	// And it says the same as what was decoded on the way.
	var other bytes.Buffer
	if err := wire.Encode(&other, wire.YAML, into); err != nil {
		s.Fatal(err)
	}
	said := bytes.Replace(other.Bytes(), []byte("items: null"), []byte("items: []"), 1) // which protobuf does not tell apart
	if yaml := s.do("GET", path, "", "Accept: "+wire.YAML); !bytes.Equal(yaml.body, said) {
		s.Errorf("%s:\n%s\nwant\n%s", path, said, yaml.body)
	}
}
