package store

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
)

// TestMessageIsWhatMarshalGives takes objects of all sizes, compressed and not.
func TestMessageIsWhatMarshalGives(t *testing.T) {
	c := newCodec(scheme.Scheme)
	_, large := pod(1)
	for _, obj := range []Object{&corev1.Namespace{}, configMap("default", "a", "v"), large} {
		raw, err := c.encode(obj)
		if err != nil {
			t.Fatal(err)
		}
		for _, revision := range []uint64{1, 12345678901234567890} {
			r := &Record{revision: revision, raw: raw, codec: c}
			want, err := r.Object().(interface{ Marshal() ([]byte, error) }).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			got, ok := r.AppendMessage([]byte("before"))
			if !ok || !bytes.Equal(got, append([]byte("before"), want...)) {
				t.Errorf("%T: %q, want %q", obj, got, want)
			}
			if size := r.MessageSize(); size < len(want) {
				t.Errorf("%T: %d bytes are said to be %d", obj, len(want), size)
			}
		}
		for n := range raw { // what is cut short is none, or another, and no panic
			r := &Record{raw: raw[:n], codec: c}
			r.AppendMessage(nil)
			r.MessageSize()
		}
	}
}

// TestNoMessage has what is stored as JSON left to be decoded.
func TestNoMessage(t *testing.T) {
	c := newCodec(scheme.Scheme)
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	obj.SetName("a")
	raw, err := c.encode(obj)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := (&Record{raw: raw, codec: c}).AppendMessage(nil); ok || got != nil {
		t.Errorf("%q", got)
	}
}
