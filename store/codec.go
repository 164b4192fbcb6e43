package store

import (
	"bytes"
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"covey.dev/covey/store/protocol"
)

// codec turns objects into the bytes that are stored: Kubernetes' own protobuf envelope, which names the type inside, or
// JSON for types without protobuf, compressed.
type codec struct {
	scheme *runtime.Scheme
	proto  *protobuf.Serializer
	json   *json.Serializer
	spoken protocol.Range // the protocol versions whose formats are read and written
}

func newCodec(scheme *runtime.Scheme) *codec {
	return &codec{
		scheme: scheme,
		proto:  protobuf.NewSerializer(scheme, scheme),
		json:   json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{}),
		spoken: protocol.Spoken(),
	}
}

// encode returns the object's bytes with its type set and its resourceVersion left out. It does not touch obj, which may
// be one that others read.
func (c *codec) encode(obj Object) ([]byte, error) {
	copied := shallowCopy(obj)
	copied.SetResourceVersion("")
	gvk, err := c.kindOf(obj)
	if err != nil {
		return nil, err
	}
	copied.GetObjectKind().SetGroupVersionKind(gvk)
	var buf bytes.Buffer
	err = c.proto.Encode(copied, &buf)
	if protobuf.IsNotMarshalable(err) {
		buf.Reset()
		err = c.json.Encode(copied, &buf)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", gvk.Kind, err)
	}
	return compress(buf.Bytes()), nil
}

// kindOf is the kind the scheme knows obj's type by; what obj says itself decides only where a type has several.
func (c *codec) kindOf(obj Object) (schema.GroupVersionKind, error) {
	kinds, _, err := c.scheme.ObjectKinds(obj)
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("encode object: %w", err)
	}
	said := obj.GetObjectKind().GroupVersionKind()
	for _, kind := range kinds {
		if kind == said {
			return kind, nil
		}
	}
	return kinds[0], nil
}

// shallowCopy copies the struct that obj points to, so that fields of its metadata can be set without obj's owner noticing.
func shallowCopy(obj Object) Object {
	v := reflect.ValueOf(obj)
	if _, isMap := obj.(runtime.Unstructured); isMap || v.Kind() != reflect.Pointer {
		return obj.DeepCopyObject().(Object)
	}
	copied := reflect.New(v.Type().Elem())
	copied.Elem().Set(v.Elem())
	return copied.Interface().(Object)
}

func (c *codec) decode(stored []byte) (Object, error) {
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch) // what is decoded shares no memory with it
	raw, err := decompress(stored, scratch)
	if err != nil {
		return nil, err
	}
	var decoder runtime.Decoder = c.json
	if ok, _, _ := c.proto.RecognizesData(raw); ok {
		decoder = c.proto
	}
	decoded, gvk, err := decoder.Decode(raw, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	obj, ok := decoded.(Object)
	if !ok {
		return nil, fmt.Errorf("decode object: %s has no metadata", gvk)
	}
	obj.GetObjectKind().SetGroupVersionKind(*gvk)
	return obj, nil
}

// nameOnly stands in for an object that this version of covey cannot decode, so that readers of a whole table go on.
func nameOnly(k Key) Object {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name},
	}
}
