package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/api/client"
)

// object is an API object as decoded JSON.
type object = map[string]any

// decodeObject decodes an object, and gives it the kind that it lacks as a member of a list.
func decodeObject(raw []byte, r *client.Resource) (object, error) {
	var o object
	if err := utiljson.Unmarshal(raw, &o); err != nil {
		return nil, fmt.Errorf("decode the answer: %w", err)
	}
	if o["kind"] == nil && r != nil {
		o["apiVersion"], o["kind"] = r.GroupVersion().String(), r.Kind
	}
	return o, nil
}

// objectPrinter prints whole objects in one of the formats of -o.
type objectPrinter struct {
	format        string
	path          *jsonpath.JSONPath
	managedFields bool
	printed       bool
}

func newObjectPrinter(format string) (*objectPrinter, error) {
	name, expression, _ := strings.Cut(format, "=")
	p := &objectPrinter{format: name}
	switch name {
	case "json", "yaml", "name":
		return p, nil
	case "jsonpath":
		if expression == "" {
			return nil, fmt.Errorf("template format specified but no template given: -o jsonpath='{.metadata.name}'")
		}
		p.path = jsonpath.New("out").AllowMissingKeys(true)
		if err := p.path.Parse(relaxed(expression)); err != nil {
			return nil, fmt.Errorf("error parsing jsonpath %s, %w", expression, err)
		}
		return p, nil
	}
	return nil, fmt.Errorf("unable to match a printer suitable for the output format %q, allowed formats are: json, jsonpath, name, wide, yaml", format)
}

// relaxed lets the braces and the first dot of an expression be left out.
func relaxed(expression string) string {
	if strings.Contains(expression, "{") {
		return expression
	}
	return "{." + strings.TrimPrefix(expression, ".") + "}"
}

// print prints one object; name needs to know its kind.
func (p *objectPrinter) print(out io.Writer, r *client.Resource, o object) error {
	if !p.managedFields {
		dropManagedFields(o)
	}
	switch p.format {
	case "name":
		meta, _ := o["metadata"].(object)
		_, err := fmt.Fprintln(out, r.Object(fmt.Sprint(meta["name"])))
		return err
	case "jsonpath":
		return p.path.Execute(out, o)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "    ")
	if err := encoder.Encode(o); err != nil {
		return fmt.Errorf("encode the object: %w", err)
	}
	if p.format == "yaml" {
		converted, err := yaml.JSONToYAML(text.Bytes())
		if err != nil {
			return fmt.Errorf("encode the object: %w", err)
		}
		text.Reset()
		if p.printed {
			text.WriteString("---\n")
		}
		text.Write(converted)
	}
	p.printed = true
	_, err := out.Write(text.Bytes())
	return err
}

// dropManagedFields leaves out who owns which field, of an object or the members of a list.
func dropManagedFields(o object) {
	if meta, ok := o["metadata"].(object); ok {
		delete(meta, "managedFields")
	}
	items, _ := o["items"].([]any)
	for _, item := range items {
		if member, ok := item.(object); ok {
			dropManagedFields(member)
		}
	}
}

// printJSON prints what a command of covey's own shows with -o json, indented as objects are.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "    ")
	return encoder.Encode(v)
}
