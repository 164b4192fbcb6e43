package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/openapi"
)

var generated = sync.OnceValues(func() (map[string][]byte, error) {
	from, err := source()
	if err != nil {
		return nil, err
	}
	return generate(from, served(kind.All()))
})

func documents(t *testing.T) map[string][]byte {
	t.Helper()
	docs, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// The embedded documents are those that generate makes now: after a new kind or version run go generate ./api/openapi.
func TestDocumentsAreCurrent(t *testing.T) {
	for name, content := range documents(t) {
		got, err := openapi.Read(name + ".gz")
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s is out of date (%v): run go generate ./api/openapi", name, err)
		}
	}
}

func TestEveryServedPathIsDocumented(t *testing.T) {
	docs := documents(t)
	for path := range served(kind.All()) {
		if !strings.Contains(string(docs["v2.json"]), `"`+path+`":`) {
			t.Errorf("%s is not in the v2 document", path)
		}
	}
	for _, k := range kind.All() {
		if !strings.Contains(string(docs["v2.json"]), `"kind":"`+k.GVK.Kind+`"`) {
			t.Errorf("%s is not in the v2 document", k.GVK)
		}
	}
}
