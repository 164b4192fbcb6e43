package wire_test

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"covey.dev/covey/api/wire"
)

func TestNegotiate(t *testing.T) {
	table := "application/json;as=Table;v=v1;g=meta.k8s.io"
	for accept, want := range map[string]wire.Format{
		"":    {Media: wire.JSON},
		"*/*": {Media: wire.JSON},
		"application/vnd.kubernetes.protobuf,application/json":      {Media: wire.Protobuf},
		"application/json;q=0.1,application/yaml":                   {Media: wire.YAML},
		"application/cbor, application/json":                        {Media: wire.JSON},
		"application/vnd.kubernetes.protobuf;as=Table, " + table:    {Media: wire.JSON, As: "Table", Group: "meta.k8s.io", Version: "v1"},
		table + ",application/json":                                 {Media: wire.JSON, As: "Table", Group: "meta.k8s.io", Version: "v1"},
		"application/json;as=Odd;v=v1;g=meta.k8s.io, application/*": {Media: wire.JSON},
	} {
		got, ok := wire.Negotiate(accept, func(f wire.Format) bool {
			return f.As == "" || f.As == "Table" && f.Media != wire.Protobuf
		})
		if !ok || got != want {
			t.Errorf("%q: %+v, want %+v", accept, got, want)
		}
	}
	if f, ok := wire.Negotiate("text/html", func(wire.Format) bool { return true }); ok {
		t.Errorf("text/html gave %+v", f)
	}
}

// What is encoded in any media type is decoded to the same object.
func TestRoundTrip(t *testing.T) {
	gvk := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	text := rapid.StringMatching(`[ -~äß\n\t:#-]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		in := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: text.Draw(t, "name"), Labels: rapid.MapOf(text, text).Draw(t, "labels")},
			Data:       rapid.MapOf(text, text).Draw(t, "data"),
		}
		in.SetGroupVersionKind(gvk)
		for _, media := range wire.MediaTypes {
			var first, second bytes.Buffer
			if err := wire.Encode(&first, media, in); err != nil {
				t.Fatal(err)
			}
			out := &corev1.ConfigMap{}
			if strict, err := wire.Decode(first.Bytes(), media, gvk, out); err != nil || len(strict) > 0 {
				t.Fatalf("%s: %v %v", media, err, strict)
			}
			if err := wire.Encode(&second, wire.JSON, out); err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if err := wire.Encode(&want, wire.JSON, in); err != nil {
				t.Fatal(err)
			}
			if second.String() != want.String() {
				t.Fatalf("%s: %s, want %s", media, &second, &want)
			}
		}
	})
}

func TestDuplicateKeysInYAML(t *testing.T) {
	doc, duplicates, err := wire.ToJSON([]byte("a: 1\na: 2\n"))
	if err != nil || string(doc) != `{"a":2}` || len(duplicates) != 1 || !strings.Contains(duplicates[0].Error(), `key "a" already set`) {
		t.Errorf("%s %v %v", doc, duplicates, err)
	}
}
