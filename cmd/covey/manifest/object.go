package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is one object of a manifest.
type Object struct {
	GVK             schema.GroupVersionKind
	Namespace, Name string // "" where the manifest has none
	JSON            []byte
	// Where it stands, for messages: `"app.yaml", document 2`.
	Where string
}

// String is the object as it says it is, with where it stands: `Deployment "web" in "app.yaml", document 2`.
func (o *Object) String() string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	return fmt.Sprintf("%s %q in %s", o.GVK.Kind, name, o.Where)
}

// list is what a List has beside what every object has.
type list struct {
	Items []json.RawMessage `json:"items"`
}

// objects takes a document of JSON apart: itself, or the items of a List.
func objects(doc []byte, where string) ([]*Object, error) {
	if first := firstByte(doc); first != '{' {
		return nil, fmt.Errorf("%s: expected an object with apiVersion and kind, found %s", where, describe(first))
	}
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(doc, &meta); err != nil {
		return nil, fmt.Errorf("%s: %w", where, plainType(err))
	}
	var missing []string
	if meta.APIVersion == "" {
		missing = append(missing, "apiVersion not set")
	}
	if meta.Kind == "" {
		missing = append(missing, "kind not set")
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s: %s", where, strings.Join(missing, ", "))
	}
	gv, err := schema.ParseGroupVersion(meta.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if strings.HasSuffix(meta.Kind, "List") {
		return items(doc, where)
	}
	return []*Object{{
		GVK: gv.WithKind(meta.Kind), Namespace: meta.Namespace, Name: meta.Name, JSON: doc, Where: where,
	}}, nil
}

func items(doc []byte, where string) ([]*Object, error) {
	var l list
	if err := json.Unmarshal(doc, &l); err != nil {
		return nil, fmt.Errorf("%s: items of a List: %w", where, plainType(err))
	}
	var all []*Object
	for i, item := range l.Items {
		found, err := objects(item, fmt.Sprintf("%s, item %d", where, i+1))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// plainType says of a value of the wrong type what was expected without naming types of Go.
func plainType(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	return fmt.Errorf("%s: a %s cannot stand here", wrong.Field, wrong.Value)
}

func firstByte(doc []byte) byte {
	for _, b := range doc {
		if b != ' ' && b != '\t' && b != '\n' && b != '\r' {
			return b
		}
	}
	return 0
}

func describe(first byte) string {
	switch first {
	case '[':
		return "a list"
	case '"':
		return "a text"
	case 't', 'f':
		return "true or false"
	case 'n', 0:
		return "nothing"
	}
	return "a number"
}
